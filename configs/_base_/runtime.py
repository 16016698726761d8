# What every entry shares: imports, hooks, environment.
# Knobs: LOAD_FROM, a checkpoint of the same model that a run starts from, with
# all that a METHOD adds to CLIP; PRETRAINED loads only CLIP's towers.
# EPOCH_MEAN, the first epoch of a mean of weights instead of the last ones
# (docs/methods.md, "Additions: weights"; 0: no mean).
default_scope = 'mmaction'
custom_imports = dict(imports=['projects.vifi_clip'])

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='WholeStepCheckpointHook', interval=1,
        # Two, since MMEngine removes the old file before it writes the new.
        max_keep_ckpts=2,
        save_best='auto', backend_args=dict(backend='AtomicLocalBackend')),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'))
custom_hooks = [dict(type=_hook) for _hook in (
    'EpochSeedHook', 'EpochAccumulationHook', 'TextAccumulationHook',
    'ResumedValidationHook', 'BadVideoHook', 'FiniteLossHook',
    'ClassListHook', 'PlainCheckpointHook', 'CheckpointSettingsHook',
    'ResumeHook', 'AuxiliaryHook', 'NewWordsHook')]
if '{{$EPOCH_MEAN:0}}' != '0':
    custom_hooks += [dict(type='EpochMeanHook',
                          begin_epoch=int('{{$EPOCH_MEAN:0}}'))]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = '{{$LOAD_FROM:none}}'
load_from = None if load_from == 'none' else load_from
resume = False
# A seed makes runs repeatable; `--seed N` sets another.
randomness = dict(seed=0)
