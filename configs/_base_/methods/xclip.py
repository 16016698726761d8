# METHOD=xclip: X-CLIP (arXiv 2208.02816). The frames of a view exchange
# messages in every layer of the image tower, a transformer (MIT) joins them,
# and the video's patches change the class embeddings. The text tower and the
# logit scale are frozen, class names have no template; new parts train ten
# times as fast.
# Knobs: TUNE (image; both, none), FUSION (embedding, decision), ARCH (a ViT),
# PRETRAINED (a CLIP), TEMPLATE (name; photo), DESCRIPTIONS, PIXELS. To start
# from an X-CLIP, set LOAD_FROM=CHECKPOINT.
_base_ = ['../models/vifi_clip.py']

tune = '{{$TUNE:image}}'
if tune not in ('image', 'both', 'none'):
    raise ValueError(
        f'TUNE={tune} does not go with METHOD=xclip, whose messages stand '
        'where deep prompts would, and see the video: image, both or none')
if '{{$TEMPLATE:default}}' == 'default' and not _base_.descriptions:
    template = 'name'
    _templates = dict(templates='{}')
else:
    _templates = dict()

model = dict(
    tune=tune,
    # None: the number of frames of the head, which an entry sets
    backbone=dict(type='XCLIPBackbone', num_frames=None, drop_path=0.),
    cls_head=dict(
        temporal=dict(type='TemporalTransformer', max_frames=None, depth=1,
                      num_heads=None),
        condition=dict(type='VideoPrompts', depth=2, alpha=0.1),
        text_classifier=_templates))

# Ten times the rate; 1-D parameters and positions do not decay.
_optim_wrapper = dict(
    constructor='GroupedOptimWrapperConstructor',
    paramwise_cfg=dict(custom_keys={
        'backbone.messages': dict(lr_mult=10.),
        'backbone.prompts_visual': dict(lr_mult=10.),
        'cls_head.temporal': dict(lr_mult=10.),
        'cls_head.temporal.positions': dict(lr_mult=10., decay_mult=0.),
        'cls_head.condition': dict(lr_mult=10.),
        'positional_embedding': dict(decay_mult=0.)}))
# 8 GPUs x batch 4 x accumulation 8 = 256; 8 x 4 x 2 = 64. One lowest rate
# for all.
_full = dict(
    epochs=30, batch_size=4, schedule=dict(one_minimum=True),
    optim_wrapper=dict(_optim_wrapper, accumulative_counts=8,
                       optimizer=dict(lr=8e-6)))
_few = dict(
    batch_size=4, schedule=dict(one_minimum=True),
    optim_wrapper=dict(_optim_wrapper, accumulative_counts=2,
                       optimizer=dict(lr=2e-6)))
recipe = dict(
    full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
    # of the small world, 1 process x batch 16 = 16; rate of
    # benchmarks/mini_rates.py
    mini=dict(schedule=dict(one_minimum=True), optim_wrapper=dict(
        _optim_wrapper, optimizer=dict(lr=3e-4))))
del _templates, _optim_wrapper, _full, _few
