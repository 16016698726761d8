# METHOD=tc_clip: TC-CLIP (arXiv 2404.09490). In each layer of the image tower
# the patches of a view that matter most are merged into a few context tokens,
# to which all its frames attend in the next layer.
# Its weights are made for `vifi-clip merge`, with 0.7 of the fine-tuned ones.
# Knobs: CONTEXT_PROMPTS (off; on: the words before the class are learnt, and
# look at the context of the video, "video-conditional prompting", with
# TEMPLATE=photo alone), TUNE (both; image, text, none), and those of
# vifi_clip.py; ARCH is a ViT of OpenCLIP, PRETRAINED a CLIP.
_base_ = ['../models/vifi_clip.py']

if _base_.tune in ('prompts', 'lora'):
    raise ValueError(
        f'TUNE={_base_.tune} does not go with METHOD=tc_clip, which changes '
        'weights of CLIP: both, image, text or none')

# None: the number of frames of the head, which an entry sets. Of 16 frames of
# 196 patches, 16 x int(0.3 x 196) = 928 are merged to 96.
model = dict(backbone=dict(
    type='ContextBackbone', num_frames=None, length=96, ratio=0.3, step=100))

_rates, _mini_lr = dict(), 1e-3
if '{{$CONTEXT_PROMPTS:off}}' == 'on':
    if '{{$TEMPLATE:default}}' not in ('default', 'photo'):
        raise ValueError('TEMPLATE={{$TEMPLATE:default}} does not go with '
                         'CONTEXT_PROMPTS=on, whose learnt prompts stand in '
                         'its place: unset it')
    template = 'photo'
    model['backbone'].update(give_context=True)
    model.update(cls_head=dict(text_classifier=dict(
        type='VideoTextClassifier',
        prompts=dict(length=4, depth=1, init='a photo of a'),
        # '{}.' behind them, or the description
        templates='{description}' if _base_.descriptions else None,
        random_template=False, always_templates=())))
    _rates = dict(paramwise_cfg=dict(custom_keys={
        f'cls_head.text_classifier.{_part}': dict(lr_mult=10.)
        for _part in ('prompts', 'prompt_layer')}))
    _mini_lr = 3e-4
elif '{{$CONTEXT_PROMPTS:off}}' != 'off':
    raise ValueError("CONTEXT_PROMPTS={{$CONTEXT_PROMPTS:off}}: choose one of "
                     "('on', 'off')")

# 8 GPUs x batch 4 x accumulation 16 = 512, 8 x 4 x 8 = 256 and 8 x 4 x 2 = 64;
# the rest is ViFi-CLIP's.
recipe = dict(
    num_frames=16,
    full=dict(epochs=30, optim_wrapper=dict(
        _rates, accumulative_counts=16, optimizer=dict(lr=22e-6))),
    zero_shot=dict(epochs=10, optim_wrapper=dict(
        _rates, accumulative_counts=8, optimizer=dict(lr=8e-6))),
    base2novel=dict(epochs=12, schedule=dict(warmup=2), optim_wrapper=dict(
        _rates, accumulative_counts=2, optimizer=dict(lr=3.33e-6))),
    few_shot=dict(epochs=50, optim_wrapper=dict(
        _rates, accumulative_counts=2, optimizer=dict(lr=2e-6))),
    # of the small world, 1 process x batch 16 = 16; rates of
    # benchmarks/mini_rates.py
    mini=dict(optim_wrapper=dict(_rates, optimizer=dict(lr=_mini_lr))))
del _rates, _mini_lr
