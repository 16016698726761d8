# Videos with labels, in lists of tools/make_splits.py. What is trained and
# tested on, and through which pipelines, the entry says.
# Knobs: DATA_ROOT (holds <data set>/videos), LIST_ROOT (holds the lists of
# each data set).
data_root = '{{$DATA_ROOT:data}}'
list_root = '{{$LIST_ROOT:default}}'
if list_root == 'default':
    list_root = '{{ fileDirname }}/../../../data_splits'

_loader = dict(num_workers=8, persistent_workers=True)
train_dataloader = dict(
    **_loader,
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CheckedVideoDataset'))
val_dataloader = dict(
    **_loader,
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CheckedVideoDataset', test_mode=True))
test_dataloader = val_dataloader
del _loader

val_evaluator = dict(type='VideoAccMetric')
test_evaluator = val_evaluator
