# ViFi-CLIP: CLIP fine-tuned on videos (paper section 4), or frozen with deep
# prompts learnt in both towers (section 5). An entry adds class_file and
# num_frames.
# Knobs: TUNE (both, image, text, prompts; none: frozen CLIP), FUSION
# (embedding, decision, image), ARCH and PRETRAINED (where CLIP comes from),
# PIXELS (imagenet, clip: mean and standard deviation of the pixels), and
# those of texts.py: TEMPLATE (photo: 'a photo of a {}.', name: the class name
# alone, actions: 28 templates; product and sentences: with DESCRIPTIONS).
_base_ = ['./texts.py']

arch = '{{$ARCH:ViT-B-16-quickgelu}}'  # OpenCLIP name, or a .json like its own
pretrained = '{{$PRETRAINED:default}}'  # OpenCLIP tag or file; 'none': random
tune = '{{$TUNE:both}}'
fusion = '{{$FUSION:embedding}}'
pixels = '{{$PIXELS:imagenet}}'
for _name, _value, _allowed in (
        ('TUNE', tune, ('both', 'image', 'text', 'prompts', 'prompt', 'none')),
        ('FUSION', fusion, ('embedding', 'decision', 'image')),
        ('PIXELS', pixels, ('imagenet', 'clip'))):
    if _value not in _allowed:
        raise ValueError(f'{_name}={_value}: choose one of {_allowed}')
del _name, _value, _allowed

tune = 'prompts' if tune == 'prompt' else tune
if pretrained == 'default':
    if tune == 'prompts':
        raise ValueError(
            'TUNE=prompts starts from a model fine-tuned on Kinetics-400 '
            '(paper section 5): set PRETRAINED=CHECKPOINT, or '
            'PRETRAINED=openai for prompts in CLIP as it is')
    pretrained = 'openai'
pretrained = None if pretrained == 'none' else pretrained
# CLIP's own statistics, and ImageNet's, with which the paper's release
# normalises: its checkpoints must be tested that way.
_pixels = dict(
    imagenet=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    clip=dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323]))

_tower = dict(arch=arch, pretrained=pretrained)
_backbone = dict(type='CLIPVisionBackbone', **_tower)
_text = dict(type='CLIPTextClassifier', **_tower, **_base_.pop('texts'))
if tune == 'prompts':
    # The paper's few-shot setting; the base-to-novel entry has its own.
    _backbone.update(
        type='VLDeepPromptBackbone', prompts=dict(length=10, depth=12))
    # The learnt context stands before '{class}.' in the template's place.
    _text.update(prompts=dict(length=10, depth=12), templates=(
        '{description}' if _base_.descriptions else None))

model = dict(
    type='ViFiCLIP',
    backbone=_backbone,
    cls_head=dict(
        type='TemporalMeanPoolHead',
        in_channels=None,  # D of the architecture: CLIP needs no projection
        fusion=fusion,
        text_classifier=_text,
        label_smooth_eps=0.1,
        average_clips='prob'),
    data_preprocessor=dict(
        type='ActionDataPreprocessor', **_pixels[pixels], format_shape='NCHW',
        # The model fills in the number of classes.
        blending=dict(
            type='RandomBatchAugment', probs=[0.5, 0.5],
            augments=[dict(type='MixupBlending', alpha=0.8),
                      dict(type='CutmixBlending', alpha=1.0)])),
    tune=tune)
del _pixels, _tower, _backbone, _text
