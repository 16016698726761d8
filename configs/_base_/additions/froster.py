# AUX=froster: FROSTER's distillation of features (docs/methods.md,
# "Additions: teachers"). Frames and classes are kept near those of frozen
# CLIP, except for a residual that a projector learns and tests leave out.
# Knobs: METHOD (the loss uses the METHOD's own recipe, if it has one);
# NUM_FRAMES, FUSION (decision), PIXELS (clip).
_base_ = ['../methods/{{$METHOD:vifi}}.py']

model = dict(auxiliary=[dict(
    type='FeatureDistillationLoss', residual=0.1, loss_weight=2.,
    teacher=dict(type='CLIPTeacher', arch=_base_.arch,
                 pretrained=_base_.pretrained))])

if not _base_.get('recipe'):
    # Plain cross-entropy of the mean of the frames' logits. Their frames see
    # their neighbours, too (METHOD=open_vclip INTERPOLATE=0 TUNE=both), and
    # what is tested is the mean of the weights over epochs.
    model.update(cls_head=dict(label_smooth_eps=0.),
                 data_preprocessor=dict(blending=None))
    if '{{$FUSION:decision}}' == 'decision':
        model['cls_head'].update(fusion='decision')
    if '{{$PIXELS:clip}}' == 'clip':
        model['data_preprocessor'].update(_base_.clip_pixels)
    # It starts and ends at 3.33e-8 = 0.01 x 3.33e-6.
    _rate = dict(
        schedule=dict(warmup=2, start_ratio=0.01, warmup_prefix=True),
        optim_wrapper=dict(
            clip_grad=dict(max_norm=1.), paramwise_cfg=dict(
                flat_decay_mult=0.), optimizer=dict(
                    lr=3.33e-6, betas=(0.9, 0.999), weight_decay=0.01)))
    # 8 GPUs x batch 8 = 64, and 8 x 4 = 32. Their epochs are of zero-shot and
    # base-to-novel; few-shot has ViFi-CLIP's.
    _full = dict(_rate, epochs=22, batch_size=8)
    recipe = dict(
        num_frames=8, full=_full, zero_shot=_full,
        base2novel=dict(_rate, epochs=12, batch_size=4),
        few_shot=dict(_rate, batch_size=4),
        # of the small world, 1 process x batch 16 = 16
        mini=dict(optim_wrapper=dict(optimizer=dict(lr=3e-4))))
    del _rate, _full
