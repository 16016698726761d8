# ViFi-CLIP fully supervised on Kinetics-400 (paper Table 8: 83.9 top-1,
# 96.3 top-5 with ViT-B/16, 16 frames, 4 x 3 views).
#
#   tools/dist_train.sh configs/vifi_k400.py 8
#   python tools/test.py configs/vifi_k400.py CHECKPOINT          # 4x3 views
#   python tools/test.py configs/vifi_k400.py CHECKPOINT --single-view
#
# Knobs (environment): DATA_ROOT, TRAIN_LIST, VAL_LIST, VIDEO_DIR (where the
# data are), CLASS_FILE (class names, for data of your own), ARCH, PRETRAINED
# (where CLIP comes from).
_base_ = [
    './_base_/runtime.py', './_base_/models/finetune.py',
    './_base_/datasets/k400.py'
]

epochs = 30
warmup_epochs = 5

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='bfloat16',
    # 8 GPUs x batch 4 (train_dataloader) x accumulation 16 = 512
    accumulative_counts=16,
    optimizer=dict(
        type='AdamW',
        lr=22e-6,
        betas=(0.9, 0.98),
        eps=1e-8,
        weight_decay=0.001))

# By iteration: warm-up from (almost) 0, then cosine to lr / 100.
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        begin=0,
        end=warmup_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup_epochs,
        eta_min_ratio=0.01,
        begin=warmup_epochs,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True)
]

# `--auto-scale-lr` scales the rate by the actual batch over this one:
# 8 GPUs x batch 4 = 32 per micro-batch, as MMEngine counts it.
auto_scale_lr = dict(enable=False, base_batch_size=32)
