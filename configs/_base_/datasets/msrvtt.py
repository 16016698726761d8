# MSR-VTT for retrieval: every (video, caption) pair of 9,000 videos to train
# on, 1,000 videos with one caption each to test on. 16 frames, 224 x 224.
# Knobs: DATA_ROOT and LIST_ROOT (hold a folder for each data set), or LIST_DIR
# (holds train_9k.json and test_JSFUSION.json of vifi-clip splits) and
# VIDEO_DIR; WORKERS (see videos.py); ARCH.
data_root = '{{$DATA_ROOT:data}}'
list_root = '{{$LIST_ROOT:default}}'
if list_root == 'default':
    list_root = '{{ fileDirname }}/../../../data_splits'
list_dir = '{{$LIST_DIR:default}}'
if list_dir == 'default':
    list_dir = list_root + '/msrvtt'
video_dir = '{{$VIDEO_DIR:default}}'
if video_dir == 'default':
    video_dir = data_root + '/msrvtt/videos'

# The same in training and test: no flip and no colour change, since captions
# tell sides and colours. They stand as they are, without a template.
_rest = [
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', arch='{{$ARCH:ViT-B-16-quickgelu}}'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]
train_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    # One random frame in each of 16 equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=16),
    *_rest
]
val_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SparseSampleViews', num_frames=16, num_views=1),
    *_rest
]

workers = '{{$WORKERS:auto}}'
_count = 4 if workers == 'auto' else int(workers)
_loader = dict(
    batch_size=16, num_workers=_count, persistent_workers=_count > 0)
_dataset = dict(
    type='CheckedVideoTextDataset', data_prefix=dict(video=video_dir))
train_dataloader = dict(
    **_loader,
    drop_last=True,  # the size of the batch is part of the loss
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**_dataset, ann_file=list_dir + '/train_9k.json',
                 pipeline=train_pipeline))
val_dataloader = dict(
    **_loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_dataset, ann_file=list_dir + '/test_JSFUSION.json',
                 pipeline=val_pipeline, test_mode=True))
test_dataloader = val_dataloader

# Text to video: each caption ranks all videos.
val_evaluator = dict(
    type='RetrievalMetric', metric_list=('R1', 'R5', 'R10', 'MdR', 'MnR'))
test_evaluator = val_evaluator
