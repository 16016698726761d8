"""What a checkpoint was made with travels with it and is checked."""
import copy
import json
import logging

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from open_clip.model import CLIP
from tiny import NAMES, Clips, model_cfg, tiny_arch
from toy_runner import ToyMetric, toy_runner

from projects.vifi_clip.checkpoints.settings import (check_file,
                                                     collect_settings,
                                                     fingerprint)
from projects.vifi_clip.errors import UserError

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
PROMPTS = dict(length=2, depth=2)


def settings_of(**changes) -> dict:
    """A model's config; ``cls_head__fusion=...`` sets a nested key."""
    cfg = model_cfg(
        data_preprocessor=dict(
            type='ActionDataPreprocessor', mean=MEAN, std=STD),
        prompts=changes.pop('prompts', None))
    for path, value in changes.items():
        *parents, last = path.split('__')
        node = cfg
        for name in parents:
            node = node[name]
        node[last] = value
    return cfg


def whole(model, **hook) -> Config:
    hooks = [dict(type='EpochSeedHook'),
             dict(type='CheckpointSettingsHook', **hook)]
    return Config(dict(model=copy.deepcopy(model), custom_hooks=hooks))


@pytest.fixture
def runner(tmp_path):
    """Builds runners over the real model."""

    def build(model, folder='test', **kwargs):
        return toy_runner(
            tmp_path / folder, Clips(), epochs=1, model=model,
            loader=dict(collate_fn=pseudo_collate),
            test_evaluator=dict(type='ToyMetric'), cfg=whole(model), **kwargs)

    return build


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    """What a hook adds to a checkpoint, without the training."""
    model = settings_of()
    built = MODELS.build(copy.deepcopy(model))
    path = tmp_path_factory.mktemp('checkpoint') / 'epoch_1.pth'
    torch.save(dict(state_dict=built.state_dict(), meta=dict(
        vifi_clip=collect_settings(built, model))), path)
    return str(path)


@pytest.fixture
def test(runner):
    """Tests a checkpoint; returns what it warned of."""

    def run(path, warn=False, **changes) -> str:
        ToyMetric.scores[:] = [1.]
        hook = dict(type='CheckpointSettingsHook', on_mismatch='warn')
        built = runner(settings_of(**changes), load_from=path,
                       **(dict(custom_hooks=[hook]) if warn else {}))
        lines, handler = [], logging.Handler(logging.WARNING)
        handler.emit = lambda record: lines.append(record.getMessage())
        built.logger.addHandler(handler)
        assert built.test() == dict(score=1.)
        return '\n'.join(lines)

    return run


@pytest.fixture
def train(runner, tmp_path):
    """Trains an epoch; returns the checkpoint and what it says."""

    def run(**changes) -> tuple:
        runner(settings_of(**changes), 'train').train()
        path = str(tmp_path / 'train/epoch_1.pth')
        content = torch.load(path)
        return path, content['state_dict'], content['meta']['vifi_clip']

    return run


def test_settings_are_saved_as_plain_data(train, test):
    changes = dict(prompts=PROMPTS, cls_head__fusion='decision')
    path, _, saved = train(**changes)
    assert saved == dict(
        version=1, to_rgb=False, pixel_mean=pytest.approx(MEAN, abs=1e-3),
        pixel_std=pytest.approx(STD, abs=1e-3), descriptions=False,
        templates=['{}.'], text_prompts=dict(PROMPTS, words=''),
        visual_prompts=PROMPTS, visual_activation='QuickGELU',
        visual_heads=2, text_activation='QuickGELU', text_heads=2,
        num_frames=2, fusion='decision', tune='both', arch=tiny_arch())
    content = torch.load(path)  # compared as numbers, and as sequences
    content['meta']['vifi_clip'].update(
        pixel_mean=(123.6751, 116.28, 103.53), templates=('{}.', ))
    torch.save(content, path)
    assert path not in test(path, **changes)


def assert_said(message, *parts) -> None:
    assert not [part for part in parts if part not in str(message)], message


@pytest.mark.parametrize('changes, said', [
    (dict(cls_head__text_classifier__templates='a video of {}.'),
     ['templates', 'a photo of a {}.', 'a video of {}.',
      'model.cls_head.text_classifier.templates']),
    (dict(backbone__arch=dict(tiny_arch(), quick_gelu=False)),
     ['visual_activation', 'QuickGELU', "'GELU'"]),
    (dict(backbone__arch=tiny_arch(vision_cfg=dict(head_width=16))),
     ['visual_heads', ' 2 ', ' 4 ']),
    (dict(backbone__type='NeighbourBackbone', backbone__num_frames=None),
     ['neighbours: 0 when', ', 1 in', 'model.backbone.type'])])
def test_other_settings_stop_a_test(checkpoint, test, changes, said):
    model = settings_of(**changes)
    built = MODELS.build(copy.deepcopy(model))
    for refuse in (lambda: test(checkpoint, **changes),
                   lambda: check_file(checkpoint, built, whole(model))):
        with pytest.raises(UserError) as error:
            refuse()
        assert_said(error.value, checkpoint, 'custom_hooks.1.on_mismatch=warn',
                    *said)
    check_file(checkpoint, built, whole(model, on_mismatch='warn'))
    assert_said(test(checkpoint, warn=True, **changes), checkpoint, *said)


def test_descriptions_belong_to_the_weights(test, tmp_path):
    """Their place in the templates does; that they lack is said, as of
    other classes."""
    file, path = tmp_path / 'a.json', str(tmp_path / 'a.pth')
    file.write_text(json.dumps({name: f'{name}: x' for name in NAMES}))
    key, described = 'cls_head__text_classifier__', dict(
        cls_head__text_classifier__description_file=str(file))
    built = MODELS.build(settings_of(**described))
    saved = collect_settings(built)
    assert saved['descriptions'] and saved['templates'] == ['{description}']
    torch.save(dict(state_dict=built.state_dict(),
                    meta=dict(vifi_clip=saved)), path)
    assert path not in test(path, **described)
    with pytest.raises(UserError, match='templates.*{description}'):
        test(path)
    assert_said(test(path, **{f'{key}templates': '{description}'}),
                'descriptions: True', 'description_file')


def test_a_long_setting_is_shortened(checkpoint, tmp_path):
    content, path = torch.load(checkpoint), str(tmp_path / 'a.pth')
    content['meta']['vifi_clip']['templates'] = ['a {} ' * 10**4]
    torch.save(content, path)
    model = settings_of()
    with pytest.raises(UserError, match='templates') as error:
        check_file(path, MODELS.build(copy.deepcopy(model)), whole(model))
    assert len(str(error.value)) < 1500


def test_what_is_no_error(checkpoint, runner, test):
    """Training starts from anything; fusion and frames are a choice."""
    runner(settings_of(data_preprocessor__mean=[0, 0, 0]),
           load_from=checkpoint).train()
    logged = test(checkpoint, cls_head__fusion='decision',
                  cls_head__num_frames=1)
    assert_said(logged, "'embedding'", "'decision'", 'num_frames: 2')


def test_other_settings_stop_a_run_that_goes_on(train, runner, test):
    """Before it has trained."""
    path, *_ = train()
    changes = dict(cls_head__text_classifier__templates='a video of {}.')
    going = dict(resume=True, load_from=path)
    runner(settings_of(), **going).train()  # to an end that it has reached
    with pytest.raises(UserError, match=f'{path}.*\n.*templates: '):
        runner(settings_of(**changes), **going).train()


@pytest.mark.parametrize('meta', [
    {}, dict(meta='text'), dict(meta=dict(vifi_clip=dict(version=1)))])
def test_a_checkpoint_that_says_nothing(checkpoint, test, tmp_path, meta):
    state, path = torch.load(checkpoint)['state_dict'], tmp_path / 'old.pth'
    torch.save(dict(meta, state_dict=state), path)
    logged = test(str(path), data_preprocessor__mean=[0, 0, 0])
    assert_said(logged, 'old.pth', 'pixel_mean', 'templates',
                'visual_activation')


@pytest.mark.parametrize('saved, built, said', [
    (PROMPTS, None, ['backbone.prompts.tokens', 'length=2, depth=2']),
    (None, PROMPTS, ['backbone.prompts.tokens']),
    (PROMPTS, dict(length=3, depth=1),
     ['model.backbone.prompts', 'length=2, depth=2'])])
def test_prompts_on_one_side_only(runner, tmp_path, saved, built, said):
    path = str(tmp_path / 'a.pth')
    state = MODELS.build(settings_of(prompts=saved)).state_dict()
    torch.save(dict(state_dict=state), path)
    cfg = settings_of(prompts=built)
    model = MODELS.build(copy.deepcopy(cfg))
    for refuse in (lambda: check_file(path, model, whole(cfg)),
                   runner(cfg, load_from=path).train):
        with pytest.raises(UserError) as error:
            refuse()
        assert_said(error.value, path, 'pretrained=',
                    'text_classifier.prompts', *said)


def test_learnt_prompts_know_their_base(train, test, tmp_path):
    settings = []
    for seed in range(2):
        file = str(tmp_path / f'{seed}.pt')
        torch.manual_seed(seed)
        torch.save(CLIP(**tiny_arch()).state_dict(), file)
        settings.append(dict(
            prompts=PROMPTS, tune='prompts', save_trainable_only=True,
            backbone__pretrained=file,
            cls_head__text_classifier__pretrained=file))
    path, state, saved = train(**settings[0])
    assert len(state) == 2 and len(saved['fingerprint']) == 64
    assert path not in test(path, **settings[0])
    with pytest.raises(UserError, match=f'{path}.*pretrained='):
        test(path, **settings[1])
    assert path in test(path, warn=True, **settings[1])


def test_a_retriever_shares_pixels_and_no_templates(checkpoint):
    pixels = dict(type='ActionDataPreprocessor')
    model = settings_of(type='ViFiCLIPRetriever', data_preprocessor=dict(
        type='MultiModalDataPreprocessor', preprocessors=dict(
            imgs=dict(pixels, mean=[1., 2., 3.], std=STD), text=pixels)))
    built = MODELS.build(copy.deepcopy(model))
    settings = collect_settings(built, model)
    assert settings['pixel_mean'] == [1., 2., 3.]
    assert not {'templates', 'descriptions'} & settings.keys()
    with pytest.raises(UserError, match='preprocessors.imgs.mean=') as error:
        check_file(checkpoint, built, Config(dict(model=model)))
    assert 'templates' not in str(error.value)


def test_fingerprint():
    a, b = torch.randn(2, 3), torch.randn(())
    first = fingerprint([('a', a), ('b', b)])
    assert first == fingerprint([('b', b), ('a', a.clone())])
    assert len({first, fingerprint([('a', a)]),
                fingerprint([('a', a.T), ('b', b)]),
                fingerprint([('a', a), ('c', b)]),
                fingerprint([('a', a + 1e-6), ('b', b)])}) == 5


@pytest.mark.parametrize('method, mean, said', [
    ('xclip', MEAN, 'METHOD=xclip'),  # of other tensors
    ('open_vclip', [1., 2., 3.], 'METHOD=open_vclip'),  # of other pixels
    ('open_vclip', MEAN, None), ('vifi', [1., 2., 3.], 'pixel_mean')])
def test_another_method_is_named(tmp_path, runner, method, mean, said):
    """In the place of lists of tensors and settings; where weights and
    settings fit, nothing is said."""
    model = settings_of(data_preprocessor__mean=mean)
    if method == 'xclip':
        model['cls_head']['temporal'] = dict(
            type='TemporalTransformer', depth=1, max_frames=2)
    first = runner(model, 'train')
    first.cfg.method = method
    first.train()
    path = tmp_path / 'train/epoch_1.pth'
    cfg = dict(whole(settings_of()), method='vifi')
    again = runner(settings_of(), load_from=str(path))
    again.cfg.method = 'vifi'
    ToyMetric.scores = [.5]
    plain = MODELS.build(settings_of())
    for check in (again.test, lambda: check_file(str(path), plain,
                                                 Config(cfg))):
        if said is None:
            check()
            continue
        with pytest.raises(UserError, match=said) as error:
            check()
        assert ('\n' in str(error.value)) == (said == 'pixel_mean')
