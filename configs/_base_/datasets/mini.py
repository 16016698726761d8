# The small world of vifi-clip mini-world.
# Knobs: DATA_ROOT; PACKED, a folder of vifi-clip pack; WORKERS.
_base_ = ['../pipelines/mini.py']

data_root = '{{$DATA_ROOT:data/mini}}'
workers = int('{{$WORKERS:2}}')  # processes that read videos
lists = data_root + '/annotations/'
label_file = lists + 'classes.txt'
packed = '{{$PACKED:none}}'
data_prefix = dict(video=data_root if packed == 'none' else packed)
_dataset = dict(type='CheckedVideoDataset', data_prefix=data_prefix,
                class_file=label_file)
_loader = dict(num_workers=workers, persistent_workers=workers > 0)
train_dataloader = dict(
    **_loader, batch_size=16, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**_dataset, ann_file=lists + 'train.txt',
                 pipeline=_base_.train_pipeline))
_test_set = dict(**_dataset, ann_file=lists + 'val.txt', test_mode=True)
val_dataloader = dict(
    **_loader, batch_size=16,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_test_set, pipeline=_base_.val_pipeline))
test_dataloader = dict(
    **_loader, batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_test_set, pipeline=_base_.test_pipeline))
del _dataset, _loader, _test_set

val_evaluator = dict(type='VideoAccMetric')
test_evaluator = val_evaluator
