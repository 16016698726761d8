# METHOD=open_vclip: Open-VCLIP (arXiv 2302.00624). Frames attend to their
# neighbours, without new weights; each step adds the gradient at weights
# between CLIP's and the model's. The text tower is frozen, a class is the mean
# of 28 templates, and logits are averaged over frames.
# Its weights are made for `vifi-clip merge`: the mean of the epochs from 2 on,
# then halfway to CLIP.
# Knobs: INTERPOLATE (the largest share of CLIP's weights; 0: no second
# gradient), TUNE (image; text, both, none), FUSION (decision), PIXELS (clip),
# ARCH (a ViT of OpenCLIP), PRETRAINED (a CLIP), TEMPLATE (actions),
# DESCRIPTIONS.
_base_ = ['../models/vifi_clip.py']

tune, interpolate = '{{$TUNE:image}}', '{{$INTERPOLATE:0.6}}'
if tune not in ('image', 'text', 'both', 'none'):
    raise ValueError(
        f'TUNE={tune} does not go with METHOD=open_vclip, which changes '
        'weights of CLIP: image, text, both or none')
interpolate = float(interpolate)

model = dict(
    tune=tune,
    logit_scale=tune != 'none',
    # None: the number of frames of the head, which an entry sets
    backbone=dict(type='NeighbourBackbone', num_frames=None),
    cls_head=dict(label_smooth_eps=0.),
    data_preprocessor=dict(blending=None))
if '{{$FUSION:decision}}' == 'decision':
    model['cls_head'].update(fusion='decision')
if '{{$TEMPLATE:default}}' == 'default' and not _base_.descriptions:
    template = 'actions'
    model['cls_head'].update(text_classifier=dict(
        templates=template,
        # The mean of all 28 where text is encoded once.
        random_template='shared' if tune in ('text', 'both') else False))
if '{{$PIXELS:clip}}' == 'clip':
    model['data_preprocessor'].update(_base_.clip_pixels)

# From 3.33e-8 = 0.01 x 3.33e-6 up, and down to it.
_common = dict(
    hooks=[dict(type='InterpolatedGradientHook', max_ratio=interpolate)] * (
        interpolate > 0),
    schedule=dict(warmup=2, start_ratio=0.01, warmup_prefix=True,
                  eta_min_ratio=0.01),
    optim_wrapper=dict(
        clip_grad=dict(max_norm=1.),
        # Biases and norms do not decay, the logit scale does.
        paramwise_cfg=dict(flat_decay_mult=0.),
        optimizer=dict(lr=3.33e-6, betas=(0.9, 0.999), weight_decay=0.01)))
# 8 GPUs x batch 8 = 64
_full = dict(_common, epochs=22, batch_size=8)
# Theirs for few videos are not known: ViFi-CLIP's epochs.
_few = dict(_common, batch_size=8)
recipe = dict(
    # 3 x 1 views
    num_frames=8, views=3, crop='CenterCrop',
    full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
    # of the small world, 1 process x batch 16 = 16
    mini=dict(_common, schedule=dict(
        start_ratio=0.01, warmup_prefix=True), optim_wrapper=dict(
            _common['optim_wrapper'], optimizer=dict(
                lr=3e-4, betas=(0.9, 0.999), weight_decay=0.01))))
del _common, _full, _few
