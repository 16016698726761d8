# METHOD=aim: AIM (arXiv 2302.03024). CLIP is frozen; in each layer of the
# image tower its attention runs over time, too, and adapters behind both, and
# beside the MLP, are trained. In place of their linear classifier stand the
# class names, so that other classes can be asked for.
# Knobs: FUSION (embedding, decision), ARCH (a ViT of OpenCLIP), PRETRAINED
# (a CLIP), TEMPLATE, DESCRIPTIONS, PIXELS (clip).
_base_ = ['../models/adapters.py']

# None: the number of frames of the head, which an entry sets
model = dict(backbone=dict(type='AIMBackbone', num_frames=None, ratio=0.25,
                           drop_path=0.2))

# 8 GPUs x batch 4 x accumulation 2 = 64
_full = dict(
    epochs=30, batch_size=4, schedule=dict(warmup=2.5, eta_min_ratio=0.),
    optim_wrapper=dict(accumulative_counts=2, optimizer=dict(
        lr=3e-4, betas=(0.9, 0.999), weight_decay=0.05)))
# Theirs for few videos are not known: ViFi-CLIP's epochs.
_few = {k: v for k, v in _full.items() if k != 'epochs'}
recipe = dict(
    # 3 x 1 views
    num_frames=32, views=3, crop='CenterCrop',
    full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
    # of the small world, 1 process x batch 16 = 16; rate of
    # benchmarks/mini_rates.py
    mini=dict(
        schedule=dict(eta_min_ratio=0.), optim_wrapper=dict(optimizer=dict(
            lr=3e-3, betas=(0.9, 0.999), weight_decay=0.05))))
del _full, _few
