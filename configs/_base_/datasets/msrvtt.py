# MSR-VTT for retrieval: every (video, caption) pair of 9,000 videos to train
# on, 1,000 videos with one caption each to test on. 16 frames of the
# pixels of ARCH.
# Knobs: those of videos.py, or LIST_DIR (holds train_9k.json and
# test_JSFUSION.json of vifi-clip splits) and VIDEO_DIR; ARCH.
_base_ = ['./videos.py', '../models/tower.py']

list_dir = '{{$LIST_DIR:default}}'
if list_dir == 'default':
    list_dir = _base_.list_root + '/msrvtt'
video_dir = '{{$VIDEO_DIR:default}}'
if video_dir == 'default':
    video_dir = _base_.data_root + '/msrvtt/videos'
if _base_.packed != 'none':
    video_dir = _base_.packed

# The same in training and test: no flip and no colour change, since captions
# tell sides and colours. They stand as they are, without a template.
_rest = [
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, round(_base_.image_size * 256 / 224))),
    dict(type='CenterCrop', crop_size=_base_.image_size),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', arch='{{$ARCH:ViT-B-16-quickgelu}}'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))]
train_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    # One random frame in each of 16 equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=16),
    *_rest]
val_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SparseSampleViews', num_frames=16, num_views=1),
    *_rest]

_dataset = dict(
    type='CheckedVideoTextDataset', data_prefix=dict(video=video_dir))
# The size of the batch is part of the loss.
train_dataloader = dict(batch_size=16, dataset=dict(
    **_dataset, ann_file=list_dir + '/train_9k.json',
    pipeline=train_pipeline))
val_dataloader = dict(batch_size=16, dataset=dict(
    **_dataset, ann_file=list_dir + '/test_JSFUSION.json',
    pipeline=val_pipeline))
test_dataloader = val_dataloader

# Text to video: each caption ranks all videos.
val_evaluator = dict(
    type='RetrievalMetric', metric_list=('R1', 'R5', 'R10', 'MdR', 'MnR'))
test_evaluator = val_evaluator
