# The small world's clips: 8 frames, 60 x 60 pixels of 64 x 64.
# Knobs: READER; FRAMES_DIR, a folder where decoded clips are kept for later
# runs; TRANSFORMS (worker, device).
_base_ = []  # without it, MMEngine takes the import below for lazy configs

_reader = dict(type='VideoReader', backend='{{$READER:pyav}}')
if '{{$FRAMES_DIR:none}}' != 'none':
    _reader.update(type='KeptVideoReader', folder='{{$FRAMES_DIR:none}}')
_pack = [
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')]
train_pipeline = [
    _reader,
    # One random frame in each of 8 equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    dict(type='VideoDecode'),
    # No colour change and no flip: class names tell colours, captions sides.
    dict(type='RandomCrop', size=60),
    *_pack]
# Clips of the small world have 64 pixels; other videos are resized to that.
val_pipeline = [
    _reader,
    dict(type='SparseSampleViews', num_frames=8, num_views=1),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 64)),
    dict(type='CenterCrop', crop_size=60),
    *_pack]
# 4 temporal x 3 spatial views. The clips are square, so they are cut to a
# height of 60 first: ThreeCrop takes left, middle and right of what is wide.
test_pipeline = [
    _reader,
    dict(type='SparseSampleViews', num_frames=8, num_views=4),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 64)),
    dict(type='CenterCrop', crop_size=(64, 60)),
    dict(type='ThreeCrop', crop_size=60),
    *_pack]
if '{{$TRANSFORMS:worker}}' != 'worker':
    from projects.vifi_clip.datasets.deferred import on_device
    train_pipeline, val_pipeline, test_pipeline = (
        on_device(_steps, '{{$TRANSFORMS:worker}}') for _steps in (
            train_pipeline, val_pipeline, test_pipeline))
    del on_device
del _pack, _reader
