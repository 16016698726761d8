# Sparse sampling, 32 frames a view, the pixels of ARCH (224 x 224, cut from a
# height of 256). A frame that views or
# a short video repeat is decoded and transformed once: RepeatFrames.
# A METHOD may set the frames and views of its model.
# Knobs: NUM_FRAMES, METHOD, AUX, TRANSFORMS (worker: pixels are changed in the
# processes that read videos; device: of a whole batch, on the model's device).
_base_ = ['../additions/{{$AUX:none}}.py']

_method = _base_.get('recipe', {})
num_frames = '{{$NUM_FRAMES:default}}'
num_frames = _method.get('num_frames', 32) if (
    num_frames == 'default') else int(num_frames)

_size = _base_.image_size
_height = round(_size * 256 / 224)
_pack = [dict(type='FormatShape', input_format='NCHW'),
         dict(type='PackActionInputs')]
train_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    # One random frame in each of num_frames equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1,
         num_clips=num_frames),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, _height)),
    dict(type='MultiScaleCrop', input_size=_size,
         scales=(1, 0.875, 0.75, 0.66), random_crop=False,
         max_wh_scale_gap=1),
    dict(type='Resize', scale=(_size, _size), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    # Colours are changed in 4 of 5 clips, in each frame otherwise: also where
    # a short video repeats frames.
    dict(type='RepeatFrames'),
    dict(type='RandomApply', prob=0.8, transforms=[
        dict(type='FrameColorJitter', brightness=0.4, contrast=0.4,
             saturation=0.2, hue=0.1)]),
    dict(type='RandomGreyClip', p=0.2),
    *_pack]
# One view: segment midpoints, centre crop. Used in training and by
# `tools/test.py --single-view`.
val_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SparseSampleViews', num_frames=num_frames, num_views=1),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, _height)),
    dict(type='CenterCrop', crop_size=_size),
    dict(type='RepeatFrames'),
    *_pack]
# 4 temporal x 3 spatial views. mode='random' draws the temporal views as the
# paper's release does; its frames differ from run to run, ours do not.
views_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SparseSampleViews', num_frames=num_frames,
         num_views=_method.get('views', 4), mode='uniform'),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, _size)),
    dict(type=_method.get('crop', 'ThreeCrop'), crop_size=_size),
    dict(type='RepeatFrames'),
    *_pack]
if '{{$TRANSFORMS:worker}}' != 'worker':
    from projects.vifi_clip.datasets.deferred import on_device
    train_pipeline, val_pipeline, views_pipeline = (
        on_device(_steps, '{{$TRANSFORMS:worker}}') for _steps in (
            train_pipeline, val_pipeline, views_pipeline))
    del on_device
del _pack, _method, _size, _height
