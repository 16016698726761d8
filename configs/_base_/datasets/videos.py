# Videos with labels, in lists of vifi-clip splits. The entry says which are
# trained and tested on, and through which pipelines.
# Knobs: DATA_ROOT (holds <data set>/videos), LIST_ROOT (holds the lists of
# each data set); WORKERS, processes that read videos: a number, or 'auto', the
# number that suits the machine (datasets/loader_settings.py). MMAction2's own
# tools, which do not know 'auto', start 4. PACKED, the folder in which
# vifi-clip pack made the videos that VIDEO_DIR would hold.
data_root = '{{$DATA_ROOT:data}}'
list_root = '{{$LIST_ROOT:default}}'
if list_root == 'default':
    list_root = '{{ fileDirname }}/../../../data_splits'

packed = '{{$PACKED:none}}'
workers = '{{$WORKERS:auto}}'
_count = 4 if workers == 'auto' else int(workers)

_loader = dict(num_workers=_count, persistent_workers=_count > 0)
train_dataloader = dict(
    **_loader, batch_size=4,
    drop_last=True,  # as the release; see EpochAccumulationHook
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CheckedVideoDataset'))
val_dataloader = dict(
    **_loader, batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CheckedVideoDataset', test_mode=True))
test_dataloader = val_dataloader
del _loader, _count

val_evaluator = dict(type='VideoAccMetric')
test_evaluator = val_evaluator
