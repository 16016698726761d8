# AUX=taco: TACO's distillation of relations (docs/methods.md, "Additions:
# teachers").
# The relations of videos and classes to random anchors are kept near those of
# the model's own running mean; a projection, which tests leave out, learns
# what is special to the training set.
# Knobs: METHOD (the loss uses the METHOD's own recipe, if it has one);
# NUM_FRAMES, PIXELS (clip).
_base_ = ['../methods/{{$METHOD:vifi}}.py']

model = dict(auxiliary=[dict(
    type='AnchorRelationLoss', num_anchors=200, loss_weight=0.4,
    teacher=dict(type='EMATeacher', momentum=2e-4))])

if not _base_.get('recipe'):
    # Plain cross-entropy. Their training template, 'This is a video about
    # {}', is not taken over: TEMPLATE says it.
    model.update(cls_head=dict(label_smooth_eps=0.),
                 data_preprocessor=dict(blending=None))
    if '{{$PIXELS:clip}}' == 'clip':
        model['data_preprocessor'].update(_base_.clip_pixels)
    _groups = dict(custom_keys={
        'backbone': dict(lr_mult=0.075), 'cls_head': dict(lr_mult=0.075)})
    _schedule = dict(warmup_prefix=True, eta_min_ratio=0.)
    # 8 GPUs x batch 8 x accumulation 3 = 192 (theirs: 3 x 64); the projection
    # at 5e-5, CLIP at 0.075 x 5e-5 = 3.75e-6
    _full = dict(
        epochs=15, batch_size=8, schedule=_schedule, optim_wrapper=dict(
            accumulative_counts=3, paramwise_cfg=_groups, optimizer=dict(
                lr=5e-5, betas=(0.9, 0.999), weight_decay=0.2)))
    # Theirs for few videos are not known. ViFi-CLIP's epochs, batch (8 x 4 x
    # 2 = 64) and rate: 0.075 x 2.67e-5 = 2e-6.
    _few = dict(
        schedule=_schedule, optim_wrapper=dict(
            accumulative_counts=2, paramwise_cfg=_groups, optimizer=dict(
                lr=2.67e-5, betas=(0.9, 0.999), weight_decay=0.2)))
    recipe = dict(
        num_frames=8, full=_full, zero_shot=_full, base2novel=_few,
        few_shot=_few,
        # of the small world, 1 process x batch 16 = 16; 0.075 x 4e-3 = 3e-4
        mini=dict(optim_wrapper=dict(
            paramwise_cfg=_groups, optimizer=dict(lr=4e-3))))
    del _groups, _schedule, _full, _few
