# METHOD=st_adapter: ST-Adapter (arXiv 2206.13559). CLIP is frozen; in each
# layer of the image tower an adapter with a convolution over time lets the
# frames of a view see each other. In place of their linear classifier stand
# the class names, so that other classes can be asked for.
# Knobs: FUSION (embedding, decision), ARCH (a ViT of OpenCLIP), PRETRAINED
# (a CLIP), TEMPLATE, DESCRIPTIONS, PIXELS (clip). Their setting for SSv2 has
# model.backbone.before_attention=True.
_base_ = ['../models/adapters.py']

# None: the number of frames of the head, which an entry sets
model = dict(backbone=dict(type='STAdapterBackbone', num_frames=None,
                           channels=384))

_schedule = dict(warmup=2, warmup_prefix=True, eta_min_ratio=0.)
_paramwise = dict(flat_decay_mult=0.)  # biases do not decay
# 8 GPUs x batch 8 x accumulation 3 = 192 (theirs: 3 x 64), at
# 1e-3 x 192 / 256 = 7.5e-4
_full = dict(
    epochs=12, batch_size=8, schedule=_schedule, optim_wrapper=dict(
        accumulative_counts=3, paramwise_cfg=_paramwise, optimizer=dict(
            lr=7.5e-4, betas=(0.9, 0.999), weight_decay=0.01)))
# Theirs for few videos are not known. ViFi-CLIP's epochs and batch, 8 x 8 =
# 64, at 1e-3 x 64 / 256 = 2.5e-4.
_few = dict(
    batch_size=8, schedule=_schedule, optim_wrapper=dict(
        paramwise_cfg=_paramwise, optimizer=dict(
            lr=2.5e-4, betas=(0.9, 0.999), weight_decay=0.01)))
recipe = dict(
    # 3 x 1 views
    num_frames=8, views=3, crop='CenterCrop',
    full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
    # of the small world, 1 process x batch 16 = 16; rate of
    # benchmarks/mini_rates.py
    mini=dict(
        schedule=dict(warmup_prefix=True, eta_min_ratio=0.),
        optim_wrapper=dict(paramwise_cfg=_paramwise, optimizer=dict(
            lr=3e-3, betas=(0.9, 0.999), weight_decay=0.01))))
del _schedule, _paramwise, _full, _few
