"""Auxiliary losses, sentences and the mean of weights: what configs with them
set."""
import pytest
from config_entries import figures
from mmengine.config import Config


@pytest.mark.parametrize('entry', ['vifi_mini', 'vifi_zero_shot'])
def test_mean_over_epochs(read, entry):
    hooks = [hook.type for hook in read(entry).custom_hooks]
    mean = read(entry, EPOCH_MEAN=3).custom_hooks[len(hooks):]
    assert mean == [dict(type='EpochMeanHook', begin_epoch=3)]


def test_additions_of_the_small_world(read):
    cfg = read('vifi_mini', AUX='taco', DESCRIPTIONS='mini', DATA_ROOT='/d')
    loss, = cfg.model.auxiliary
    assert loss.teacher == dict(type='EMATeacher', momentum=1e-2)
    text = cfg.model.cls_head.text_classifier
    assert text.description_file == '/d/annotations/descriptions.txt'


@pytest.mark.parametrize('entry', ['mini_clip', 'mini_retrieval'])
def test_configs_that_have_no_auxiliary_losses(read, entry):
    with pytest.raises(ValueError, match='AUX=taco'):
        read(entry, AUX='taco')


# As config_entries.figures: frames, temporal views, batch of 8 GPUs,
# accumulation, rate, decay, epochs, warm-up, last rate.
@pytest.mark.parametrize('aux, entry, expected', [
    ('taco', 'vifi_k400', (8, 4, 64, 3, 5e-5, 0.2, 15, 5, 0)),
    ('taco', 'vifi_zero_shot', (8, 1, 64, 3, 5e-5, 0.2, 15, 5, 0)),
    ('taco', 'vifi_base2novel', (8, 1, 32, 2, 2.67e-5, 0.2, 11, 5, 0)),
    ('taco', 'vifi_few_shot', (8, 1, 32, 2, 2.67e-5, 0.2, 50, 5, 0)),
    ('froster', 'vifi_k400', (8, 4, 64, 1, 3.33e-6, 0.01, 22, 2, 0.01)),
    ('froster', 'vifi_zero_shot', (8, 1, 64, 1, 3.33e-6, 0.01, 22, 2, 0.01)),
    ('froster', 'vifi_base2novel', (8, 1, 32, 1, 3.33e-6, 0.01, 12, 2, 0.01)),
    ('froster', 'vifi_few_shot', (8, 1, 32, 1, 3.33e-6, 0.01, 50, 2, 0.01))])
def test_settings_of_auxiliary_losses(read, aux, entry, expected):
    cfg = read(entry, AUX=aux)
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.to_dict() == cfg.to_dict() and 'recipe' not in cfg
    assert figures(cfg) == expected
    wrapper, head = cfg.optim_wrapper, cfg.model.cls_head
    assert wrapper.optimizer.betas == (0.9, 0.999)
    assert head.label_smooth_eps == 0 and head.fusion == (
        'decision' if aux == 'froster' else 'embedding')
    pixels = cfg.model.data_preprocessor
    assert pixels.blending is None and pixels.mean == [
        122.771, 116.746, 104.094]
    assert cfg.param_scheduler.warmup_prefix
    loss, = cfg.model.auxiliary
    if aux == 'taco':
        assert (loss.num_anchors, loss.loss_weight) == (200, 0.4)
        assert loss.teacher.momentum == 2e-4
        assert {k: v.lr_mult for k, v in
                wrapper.paramwise_cfg.custom_keys.items()} == dict(
                    backbone=0.075, cls_head=0.075)
    else:
        assert (loss.residual, loss.loss_weight) == (0.1, 2.)
        assert loss.teacher.pretrained == 'openai'
        assert wrapper.clip_grad.max_norm == 1 and wrapper.paramwise_cfg == (
            dict(flat_decay_mult=0.))
    # a method keeps its own recipe, and has the loss
    own, both = read(entry, AUX='none', METHOD='actionclip'), read(
        entry, AUX=aux, METHOD='actionclip')
    assert both.optim_wrapper == own.optim_wrapper
    assert both.model.pop('auxiliary') and both.model == own.model


@pytest.mark.parametrize('protocol', ['zero_shot', 'base2novel'])
@pytest.mark.parametrize('knobs, texts, frames', [
    (dict(DESCRIPTIONS='a.json'), 'sentences', 8),
    (dict(NUM_FRAMES=16), 'actions', 16),
    (dict(TUNE='image', PIXELS='imagenet', TEMPLATE='photo'),
     'a photo of a {}.', 8)])
def test_recipes_are_taco_with_sentences_and_a_mean(
        read, monkeypatch, protocol, knobs, texts, frames):
    recipe = read(f'vifi_best_{protocol}', **knobs)
    again = Config.fromstring(recipe.pretty_text, '.py')
    assert again.to_dict() == recipe.to_dict()
    assert recipe.custom_hooks.pop() == dict(
        type='EpochMeanHook', begin_epoch=2)
    text = recipe.model.cls_head.text_classifier
    assert text.templates == texts and not text.pop('always_templates', None)
    if 'TEMPLATE' not in knobs:  # as TACO averages
        assert text.pop('average') == 'raw'
        assert text.get('random_template') == 'shared'
    assert text.pop('random_template', 'shared') == 'shared'
    plain = read(f'vifi_{protocol}', AUX='taco', **dict(knobs, TEMPLATE=(
        'photo' if 'TEMPLATE' in knobs else texts)))
    plain.model.cls_head.text_classifier.pop('random_template', None)
    recipe.pop('template'), plain.pop('template')
    assert recipe.to_dict() == plain.to_dict()
    assert plain.model.cls_head.num_frames == frames
    for name, value in dict(AUX='taco', METHOD='a5', TUNE='prompts').items():
        monkeypatch.setenv('AUX', 'none')
        with pytest.raises(ValueError, match=f'{name}={value}'):
            read(f'vifi_best_{protocol}', PRETRAINED='none', **{name: value})
