# ViFi-CLIP: CLIP fine-tuned on videos (paper section 4), or frozen with deep
# prompts learnt in both towers (section 5). An entry adds class_file and
# num_frames.
# Knobs: TUNE (both, image, text, prompts, lora; none: frozen CLIP), LORA_R
# (rank), LORA_TOWERS (both, image, text) and LORA_TARGETS (all, or names of
# layers with commas between), FUSION (embedding, decision, image), those of
# tower.py: ARCH, PRETRAINED, PIXELS, and of texts.py: TEMPLATE (photo: 'a
# photo of a {}.', name: the class name
# alone, actions: 28 templates; product and sentences: with DESCRIPTIONS).
_base_ = ['./texts.py']

pretrained = '{{$PRETRAINED:default}}'  # OpenCLIP tag or file; 'none': random
tune = '{{$TUNE:both}}'
fusion = '{{$FUSION:embedding}}'
method = '{{$METHOD:vifi}}'  # noted in checkpoints
for _name, _value, _allowed in (
        ('TUNE', tune, ('both', 'image', 'text', 'prompts', 'prompt', 'lora',
                        'none')),
        ('FUSION', fusion, ('embedding', 'decision', 'image'))):
    if _value not in _allowed:
        raise ValueError(f'{_name}={_value}: choose one of {_allowed}')
del _name, _value, _allowed

tune = 'prompts' if tune == 'prompt' else tune
_tag, _ = _base_.pop('default_tag'), _base_.pop('of_clip')
if pretrained == 'default':
    if tune == 'prompts':
        raise ValueError(
            'TUNE=prompts starts from a model fine-tuned on Kinetics-400 '
            '(paper section 5): set PRETRAINED=CHECKPOINT, or '
            f'PRETRAINED={_tag} for prompts in CLIP as it is')
    pretrained = _tag
pretrained = None if pretrained == 'none' else pretrained

_tower = dict(arch=_base_.arch, pretrained=pretrained)
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
        type='DeviceTransforms' if '{{$TRANSFORMS:worker}}' == 'device' else
        'ActionDataPreprocessor', **_base_.pop('pixels'),
        format_shape='NCHW',
        # The model fills in the number of classes.
        blending=dict(
            type='RandomBatchAugment', probs=[0.5, 0.5],
            augments=[dict(type='MixupBlending', alpha=0.8),
                      dict(type='CutmixBlending', alpha=1.0)])),
    tune=tune)
_rank, _targets = '{{$LORA_R:8}}', '{{$LORA_TARGETS:all}}'
_towers = '{{$LORA_TOWERS:both}}'
if tune == 'lora':
    if not _rank.isdecimal():
        raise ValueError(f'LORA_R={_rank}: give a whole number')
    model.update(tune='adapters', lora=dict(
        rank=int(_rank), towers=_towers,
        targets=None if _targets == 'all' else _targets.split(',')))
elif (_rank, _targets, _towers) != ('8', 'all', 'both'):
    raise ValueError(
        f'LORA_R={_rank} LORA_TARGETS={_targets} LORA_TOWERS={_towers}: these '
        f'go with TUNE=lora, and this is TUNE={tune}')
del _rank, _targets, _towers
del _tag, _, _tower, _backbone, _text
