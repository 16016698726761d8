# Kinetics-400 with sparse sampling: 16 frames a view, 224 x 224 pixels.
data_root = '{{$DATA_ROOT:data/kinetics400}}'
train_list = '{{$TRAIN_LIST:train.txt}}'  # below data_root
val_list = '{{$VAL_LIST:val.txt}}'
video_dir = '{{$VIDEO_DIR:videos}}'
label_file = '{{$CLASS_FILE:k400}}'  # a file, index = label
if label_file == 'k400':
    label_file = '{{ fileDirname }}/../../../data_splits/k400/classes.txt'

train_pipeline = [
    dict(type='DecordInit'),
    # One random frame in each of 16 equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=16),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(
        type='MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        random_crop=False,
        max_wh_scale_gap=1),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.2,
                hue=0.1)
        ],
        prob=0.8),
    dict(type='TorchVisionWrapper', op='RandomGrayscale', p=0.2),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
# One view: segment midpoints, centre crop. Used in training and by
# `tools/test.py --single-view`.
val_pipeline = [
    dict(type='DecordInit'),
    dict(type='SparseSampleViews', num_frames=16, num_views=1),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
# 4 temporal x 3 spatial views. mode='random' draws the temporal views as the
# paper's release does.
test_pipeline = [
    dict(type='DecordInit'),
    dict(
        type='SparseSampleViews', num_frames=16, num_views=4, mode='uniform'),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 224)),
    dict(type='ThreeCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]

_dataset = dict(
    type='CheckedVideoDataset',
    data_root=data_root,
    data_prefix=dict(video=video_dir),
    class_file=label_file)
_loader = dict(num_workers=8, persistent_workers=True)
train_dataloader = dict(
    **_loader,
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**_dataset, ann_file=train_list, pipeline=train_pipeline))
_test_set = dict(**_dataset, ann_file=val_list, test_mode=True)
val_dataloader = dict(
    **_loader,
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_test_set, pipeline=val_pipeline))
test_dataloader = dict(
    **_loader,
    batch_size=1,  # 12 views of 16 frames are 192 images
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_test_set, pipeline=test_pipeline))

val_evaluator = dict(type='VideoAccMetric')
test_evaluator = val_evaluator
