# ViFi-CLIP on the small world (tools/make_mini_dataset.py), for two CPU
# cores. `bash tools/quickstart.sh` runs the whole story.
#
#   python tools/train.py configs/vifi_mini.py
#   tools/dist_train.sh configs/vifi_mini.py 2
#   python tools/test.py configs/vifi_mini.py CHECKPOINT          # 4x3 views
#   python tools/test.py configs/vifi_mini.py none                # frozen CLIP
#
# Knobs (environment): DATA_ROOT (the small world), MINI_CLIP (its "pretrained
# CLIP", a checkpoint of configs/mini_clip.py).
_base_ = [
    './_base_/runtime.py', './_base_/models/mini.py',
    './_base_/datasets/mini.py'
]

epochs = 8

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='float32',
    # 1 process x batch 16 x accumulation 1 = 16
    optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.98), eps=1e-8,
                   weight_decay=0.001, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=1, by_epoch=True,
         convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, begin=1, end=epochs,
         T_max=epochs - 1, by_epoch=True, convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=4))
