# The small world of tools/make_mini_dataset.py: 8 frames, 60 x 60
# pixels of 64 x 64.
# Knobs: DATA_ROOT, WORKERS.
data_root = '{{$DATA_ROOT:data/mini}}'
workers = int('{{$WORKERS:2}}')  # processes that read videos
label_file = data_root + '/annotations/classes.txt'

train_pipeline = [
    dict(type='DecordInit'),
    # One random frame in each of 8 equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    dict(type='DecordDecodeOnce'),
    # No colour change and no flip: class names tell colours, captions sides.
    dict(type='RandomCrop', size=60),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
val_pipeline = [
    dict(type='DecordInit'),
    dict(type='SparseSampleViews', num_frames=8, num_views=1),
    dict(type='DecordDecodeOnce'),
    dict(type='CenterCrop', crop_size=60),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
# 4 temporal x 3 spatial views. The clips are square, so they are cut to a
# height of 60 first: ThreeCrop takes left, middle and right of what is wide.
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='SparseSampleViews', num_frames=8, num_views=4),
    dict(type='DecordDecodeOnce'),
    dict(type='CenterCrop', crop_size=(64, 60)),
    dict(type='ThreeCrop', crop_size=60),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]

_dataset = dict(
    type='CheckedVideoDataset',
    data_root=data_root,
    data_prefix=dict(video=''),
    class_file=label_file)
_loader = dict(num_workers=workers, persistent_workers=workers > 0)
train_dataloader = dict(
    **_loader,
    batch_size=16,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **_dataset, ann_file='annotations/train.txt',
        pipeline=train_pipeline))
_test_set = dict(**_dataset, ann_file='annotations/val.txt', test_mode=True)
val_dataloader = dict(
    **_loader,
    batch_size=16,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_test_set, pipeline=val_pipeline))
test_dataloader = dict(
    **_loader,
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_test_set, pipeline=test_pipeline))
del _dataset, _loader, _test_set

val_evaluator = dict(type='VideoAccMetric')
test_evaluator = val_evaluator
