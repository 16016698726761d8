# METHOD=actionclip: ActionCLIP (arXiv 2109.08472). A temporal module over the
# frames' embeddings; a contrastive loss between the videos of a batch and
# their texts, each in one of 16 templates; probabilities averaged over the
# templates in tests. Everything trains, new parts ten times as fast.
# Knobs: TEMPORAL (transf, the variant that the paper compares with; meanp,
# lstm, conv1d, transf_cls), and those of vifi_clip.py except TEMPLATE; TUNE
# has no prompts and no LoRA. docs/methods.md says what is known
# about the settings.
_base_ = ['../models/vifi_clip.py']

temporal = '{{$TEMPORAL:transf}}'
num_frames = '{{$NUM_FRAMES:default}}'
num_frames = 32 if num_frames == 'default' else int(num_frames)
_modules = dict(
    transf=dict(type='TemporalTransformer', depth=6, eps=1e-12, std=0.02,
                position_std=0.02, max_frames=77),
    meanp=None,
    lstm=dict(type='TemporalLSTM'),
    conv1d=dict(type='TemporalConv'),
    transf_cls=dict(type='TemporalClassToken', num_frames=num_frames))
if temporal not in _modules:
    raise ValueError(
        f'TEMPORAL={temporal}: choose one of {tuple(_modules)}')
for _name, _value in (('TUNE=prompts', _base_.tune == 'prompts'),
                      ('TUNE=lora', _base_.tune == 'lora'),
                      ('DESCRIPTIONS={{$DESCRIPTIONS:none}}',
                       '{{$DESCRIPTIONS:none}}' != 'none'),
                      ('TEMPLATE={{$TEMPLATE:default}}',
                       '{{$TEMPLATE:default}}' != 'default')):
    if _value:
        raise ValueError(f'{_name} does not go with METHOD=actionclip, which '
                         'has 16 templates and trains CLIP: unset it')
template = 'actionclip'

model = dict(
    train_token_embedding=True,
    cls_head=dict(
        temporal=_modules[temporal],
        loss_cls=dict(type='KLContrastiveLoss'),
        label_smooth_eps=0.,
        text_classifier=dict(
            random_template=True, average='prob',
            templates=[
                'a photo of action {}', 'a picture of action {}',
                'Human action of {}', '{}, an action', '{} this is an action',
                '{}, a video of action', 'Playing action of {}', '{}',
                'Playing a kind of action, {}', 'Doing a kind of action, {}',
                'Look, the human is {}', 'Can you recognize the action of {}?',
                'Video classification of {}', 'A video of {}', 'The man is {}',
                'The woman is {}'])),
    data_preprocessor=dict(blending=None))
if '{{$PIXELS:clip}}' == 'clip':
    model['data_preprocessor'].update(_base_.clip_pixels)

# The loss pairs the videos of a batch, so that there is no accumulation: 8
# GPUs x batch 16 = 128 at 5e-6, as the authors train on Kinetics-400 with 8
# frames; 8 x 8 = 64, their batch for HMDB-51.
_rate = dict(
    schedule=dict(warmup_prefix=True, eta_min_ratio=0.),
    optim_wrapper=dict(
        optimizer=dict(lr=5e-6, weight_decay=0.2),
        paramwise_cfg=dict(
            custom_keys={'cls_head.temporal': dict(lr_mult=10.)})))
_full = dict(_rate, epochs=50, batch_size=16)
_few = dict(_rate, epochs=50, batch_size=8)
recipe = dict(
    num_frames=num_frames, views=10,
    full=_full, zero_shot=_full, base2novel=_few, few_shot=_few,
    # of the small world, 1 process x batch 16 = 16; rate of
    # benchmarks/mini_rates.py
    mini=dict(_rate, optim_wrapper=dict(
        _rate['optim_wrapper'], optimizer=dict(lr=3e-4, weight_decay=0.2))))
del _modules, _name, _value, _rate, _full, _few
