# AdamW as the paper sets it, and its learning rate: by iteration, up from 0
# for 5 epochs, then what is left of a cosine over all epochs to lr / 100.
# An entry adds lr, accumulation and the epochs.
# STRATEGY (a knob): ddp, fsdp.
_base_ = ['./scale/{{$STRATEGY:ddp}}.py']

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW', betas=(0.9, 0.98), eps=1e-8, weight_decay=0.001,
        # one pass over all parameters, on CPU and GPU; the same numbers
        fused=True))
warmup_cosine = dict(
    type='WarmupCosineLR', warmup=5, eta_min_ratio=0.01, by_epoch=True,
    convert_to_iter_based=True)

train_cfg = dict(type='EpochBasedTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# `--auto-scale-lr` scales the rate by the actual batch over this one:
# 8 GPUs x batch 4 = 32 per micro-batch, as MMEngine counts it.
auto_scale_lr = dict(enable=False, base_batch_size=32)
