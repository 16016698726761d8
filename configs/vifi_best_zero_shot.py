# What has gained most on ViFi-CLIP's zero-shot protocol since, in one recipe:
# sentences about the classes, TACO's loss, the mean of the epochs, and weights
# between CLIP's and that mean (docs/methods.md, "Additions: recipes").
#
#   export DESCRIPTIONS=k400.json,hmdb.json,ucf.json,k600_1.json,...
#   tools/dist_train.sh configs/vifi_best_zero_shot.py 8 --work-dir best
#   vifi-clip merge openai best/epoch_15.pth --alpha 0.7 --out best.pth
#   tools/dist_test.sh configs/vifi_best_zero_shot.py best.pth 8  # all nine
#
# Published, zero-shot HMDB-51 / UCF-101 / Kinetics-600, ViT-B/16:
#   ViFi-CLIP                                   51.3 / 76.8 / 71.2
#   A. with the weights between (0.7)           52.2 / 81.0 / 73.9
#   B. TC-CLIP without and with sentences       54.2 / 82.9 / 75.8
#                                               56.0 / 85.4 / 78.1
#   C. TACO, with sentences in tests            60.0 / 85.6 / 77.0
# Not yet run on real data: nobody has published the three together.
#
# Knobs (environment): those of vifi_zero_shot.py except METHOD and AUX; TUNE
# has no prompts. Without DESCRIPTIONS a class is its name in 28 templates.
_base_ = ['./vifi_zero_shot.py']

for _name, _value, _bad in (
        ('METHOD', '{{$METHOD:vifi}}', '{{$METHOD:vifi}}' != 'vifi'),
        ('AUX', '{{$AUX:none}}', '{{$AUX:none}}' != 'none'),
        ('TUNE', _base_.tune, _base_.tune in ('prompts', 'lora'))):
    if _bad:
        raise ValueError(f'{_name}={_value} does not go with this recipe: '
                         'unset it')

# B. A sentence in the class name's place, or its name, in one of 28 templates
# in each step, the same for all classes. In tests the mean of all 28, taken
# as TACO does, before they have length 1.
template = '{{$TEMPLATE:default}}'
_texts = dict()
if template == 'default':
    template = 'sentences' if _base_.descriptions else 'actions'
    _texts = dict(templates=template, always_templates=[], average='raw',
                  random_template='shared')

# C. As AUX=taco: 8 frames, CLIP's pixels, videos not mixed.
num_frames = int('{{$NUM_FRAMES:8}}')
model = dict(
    auxiliary=[dict(
        type='AnchorRelationLoss', num_anchors=200, loss_weight=0.4,
        teacher=dict(type='EMATeacher', momentum=2e-4))],
    cls_head=dict(num_frames=num_frames, label_smooth_eps=0.,
                  text_classifier=_texts),
    data_preprocessor=dict(blending=None))
if '{{$PIXELS:clip}}' == 'clip':
    model['data_preprocessor'].update(_base_.clip_pixels)

# How each kind of sampling names its number of frames.
_frames = dict(SampleFrames='num_clips', SparseSampleViews='num_frames')
train_pipeline, val_pipeline, views_pipeline = [[
    dict(step, **{_frames[step.type]: num_frames}) if step.type in _frames
    else step for step in pipeline
] for pipeline in (_base_.train_pipeline, _base_.val_pipeline,
                   _base_.views_pipeline)]
test_pipeline = val_pipeline
# 8 GPUs x batch 8 x accumulation 3 = 192
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=64)  # 8 GPUs x batch 8

epochs = 15
train_cfg = dict(max_epochs=epochs)
# The projection, which tests do not have, at 5e-5; CLIP at 0.075 x 5e-5 =
# 3.75e-6. 5 epochs up from 0, then a cosine to 0.
optim_wrapper = dict(
    accumulative_counts=3,
    optimizer=dict(lr=5e-5, betas=(0.9, 0.999), weight_decay=0.2),
    paramwise_cfg=dict(custom_keys={
        'backbone': dict(lr_mult=0.075), 'cls_head': dict(lr_mult=0.075)}))
param_scheduler = dict(warmup_prefix=True, eta_min_ratio=0., end=epochs)

# A. Checkpoints, validation and tests have the mean of the ends of epochs 2 to
# 15, as Open-VCLIP and FROSTER take it.
custom_hooks = [*_base_.custom_hooks]
if '{{$EPOCH_MEAN:default}}' == 'default':
    custom_hooks += [dict(type='EpochMeanHook', begin_epoch=2)]
del _name, _value, _bad, _texts, _frames
