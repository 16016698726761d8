# METHOD=vifi (default): ViFi-CLIP itself, or, with TUNE=lora, frozen CLIP with
# LoRA in its towers.
_base_ = ['../models/vifi_clip.py']

if _base_.tune == 'lora':
    # No recipe for videos is published: rate, betas and decay of CLIP-LoRA
    # (arXiv 2405.18541) for pictures; epochs, batches and schedule of
    # ViFi-CLIP: 8 GPUs x batch 4 x accumulation 8 = 256; 8 x 4 x 2 = 64.
    _optimizer = dict(lr=2e-4, betas=(0.9, 0.999), weight_decay=0.01)
    _full, _few = (
        dict(optim_wrapper=dict(accumulative_counts=_count,
                                optimizer=_optimizer)) for _count in (8, 2))
    recipe = dict(
        full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
        # of the small world, 1 process x batch 16 = 16; rate of
        # benchmarks/mini_rates.py
        mini=dict(optim_wrapper=dict(optimizer=dict(_optimizer, lr=3e-3))))
    del _optimizer, _full, _few
