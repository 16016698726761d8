# METHOD=a5: Ju et al., Efficient Prompting (arXiv 2112.04478). CLIP is frozen;
# learnt tokens before and after the class name, and a small transformer over
# time are trained, with a fixed temperature.
# Knobs: FUSION, ARCH, PRETRAINED, PIXELS (clip). A5 and A6 are names of their
# paper's table; their code has one architecture, whose settings are
# cls_head.temporal.depth, text_classifier.prompts.before and .behind.
_base_ = ['../models/vifi_clip.py']

num_frames = '{{$NUM_FRAMES:default}}'
num_frames = 16 if num_frames == 'default' else int(num_frames)
for _name, _value, _default in (
        ('TUNE', '{{$TUNE:both}}', 'both'),
        ('DESCRIPTIONS', '{{$DESCRIPTIONS:none}}', 'none'),
        ('TEMPLATE', '{{$TEMPLATE:default}}', 'default')):
    if _value != _default:
        raise ValueError(f'{_name}={_value} does not go with METHOD=a5 and '
                         'a6, which say it themselves: unset it')
template = 'name'

model = dict(
    tune='prompts',
    cls_head=dict(
        temperature=0.07,
        temporal=dict(type='TemporalTransformer', depth=1, residual=False,
                      std=None, position_std=0.01, max_frames=num_frames),
        loss_cls=dict(type='SampledCrossEntropyLoss', max_classes=400),
        label_smooth_eps=0.,
        text_classifier=dict(
            templates='{}',
            prompts=dict(type='ContextPrompts', before=16, behind=16))),
    data_preprocessor=dict(blending=None))
if '{{$PIXELS:clip}}' == 'clip':
    model['data_preprocessor'].update(_base_.clip_pixels)

# 8 GPUs x batch 4 x accumulation 2 = 64. The rate is constant: their warm
# restarts are 2e5 iterations apart. Of their epochs one number is known, 1,100
# iterations for HMDB-51, 86 epochs of 16 videos of each class; those on
# Kinetics-400 are ViFi-CLIP's.
_full = dict(
    schedule=dict(warmup=0, eta_min_ratio=1.),
    optim_wrapper=dict(
        accumulative_counts=2, optimizer=dict(
            lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01)))
_few = dict(_full, epochs=86)
recipe = dict(
    # They draw 5 views at random, with the centre crop.
    num_frames=num_frames, views=5, crop='CenterCrop',
    full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
    # of the small world, 1 process x batch 16 = 16; rate of
    # benchmarks/mini_rates.py
    mini=dict(_full, optim_wrapper=dict(optimizer=dict(
        lr=3e-3, betas=(0.9, 0.999), weight_decay=0.01))))
del _name, _value, _default, _full, _few
