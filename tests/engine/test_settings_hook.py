"""What a checkpoint was made with travels with it and is checked."""
import copy
import logging

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import save_file
from tiny import Clips, model_cfg, tiny_arch
from toy_runner import ToyMetric, toy_runner

from projects.vifi_clip.checkpoints.settings_hook import CheckpointSettingsHook
from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                     compare_settings,
                                                     fingerprint)
from projects.vifi_clip.checkpoints.settings_hook import check_file
from projects.vifi_clip.errors import UserError

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
PROMPTS = dict(length=2, depth=2)


def settings_of(**changes) -> dict:
    cfg = model_cfg(
        data_preprocessor=dict(
            type='ActionDataPreprocessor', mean=MEAN, std=STD),
        prompts=changes.pop('prompts', None))
    cfg.update(changes.pop('model', {}))
    for path, value in changes.items():
        node = cfg
        *parents, last = path.split('__')
        for name in parents:
            node = node[name]
        node[last] = value
    return cfg


@pytest.fixture
def runner(tmp_path):
    """Builds runners over the real model; the first argument names it."""

    def build(name, model, hooks=None, **kwargs):
        loader = dict(
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
            dataset=Clips())
        if hooks is not None:
            kwargs['custom_hooks'] = hooks
        return toy_runner(
            tmp_path / name, Clips(), epochs=1, model=model,
            train_dataloader=loader, test_dataloader=dict(loader),
            test_cfg=dict(), test_evaluator=dict(type='ToyMetric'),
            cfg=Config(dict(
                model=copy.deepcopy(model),
                custom_hooks=[dict(type='EpochSeedHook'),
                              dict(type='CheckpointSettingsHook')])),
            **kwargs)

    return build


@pytest.fixture
def trained(runner, tmp_path):

    def train(**changes) -> str:
        runner('train', settings_of(**changes)).train()
        return str(tmp_path / 'train/epoch_1.pth')

    return train


class _Heard(logging.Handler):

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def test(runner):
    """Tests a checkpoint; returns what it warned of."""

    def run(path, hooks=None, **changes) -> str:
        ToyMetric.scores[:] = [1.]
        built = runner('test', settings_of(**changes), hooks, load_from=path)
        heard = _Heard()
        built.logger.addHandler(heard)
        assert built.test() == dict(score=1.)
        built.logger.removeHandler(heard)
        return '\n'.join(heard.lines)

    return run


def _saved(path) -> dict:
    return torch.load(path, weights_only=True)['meta']['vifi_clip']


def test_settings_are_saved_as_plain_data(trained):
    saved = _saved(trained(prompts=PROMPTS, cls_head__fusion='decision'))
    assert saved == dict(
        version=1, to_rgb=False, pixel_mean=pytest.approx(MEAN, abs=1e-3),
        pixel_std=pytest.approx(STD, abs=1e-3), descriptions=False,
        templates=['{}.'], text_prompts=dict(PROMPTS, words=''),
        visual_prompts=PROMPTS, visual_activation='QuickGELU',
        visual_heads=2, text_activation='QuickGELU', text_heads=2,
        num_frames=2, fusion='decision', tune='both', arch=tiny_arch())


def test_the_same_settings_pass_in_silence(trained, test):
    path = trained()
    assert path not in test(path)


GELU = dict(tiny_arch(), quick_gelu=False)
HEADS = tiny_arch(vision_cfg=dict(head_width=16))


@pytest.mark.parametrize('changes, said', [
    (dict(data_preprocessor__mean=[122.77, 116.75, 104.09]),
     ['pixel_mean', '123.675', '122.77', 'model.data_preprocessor.mean']),
    (dict(data_preprocessor=dict(type='ActionDataPreprocessor')),
     ['pixel_std', '58.395', 'None']),
    (dict(cls_head__text_classifier__templates='a video of {}.'),
     ['templates', 'a photo of a {}.', 'a video of {}.',
      'model.cls_head.text_classifier.templates']),
    (dict(backbone__arch=GELU), ['visual_activation', 'QuickGELU', "'GELU'"]),
    (dict(backbone__arch=HEADS), ['visual_heads', ' 2 ', ' 4 ']),
])
def test_other_settings_stop_a_test(trained, test, changes, said):
    path = trained()
    with pytest.raises(UserError) as error:
        test(path, **changes)
    for part in [path, '--cfg-options custom_hooks.1.on_mismatch=warn', *said]:
        assert part in str(error.value)
    hooks = [dict(type='CheckpointSettingsHook', on_mismatch='warn')]
    logged = test(path, hooks, **changes)
    for part in [path, *said]:
        assert part in logged


def test_fusion_and_frames_are_a_matter_of_choice(trained, test):
    logged = test(trained(), cls_head__fusion='decision',
                  cls_head__num_frames=1)
    assert "fusion: 'embedding' when the weights were made, 'dec" in logged
    assert 'num_frames: 2' in logged


@pytest.mark.parametrize('meta', [None, {}, dict(vifi_clip=dict(version=1))])
def test_a_checkpoint_that_says_nothing(trained, test, tmp_path, meta):
    content = torch.load(trained(), weights_only=True)
    content['meta'] = meta
    content = {k: v for k, v in content.items() if v is not None}
    torch.save(content, tmp_path / 'old.pth')
    logged = test(str(tmp_path / 'old.pth'), data_preprocessor__mean=[0, 0, 0])
    assert 'cannot be checked' in logged
    for name in 'pixel_mean', 'templates', 'visual_activation':
        assert name in logged


def test_files_without_a_runner(trained, tmp_path):
    """As tools/predict.py has them."""
    path = trained()
    other = settings_of(data_preprocessor__mean=[0, 0, 0])
    cfg = Config(dict(model=other))
    model = MODELS.build(copy.deepcopy(other))
    with pytest.raises(UserError, match='pixel_mean.*'):
        check_file(path, model, cfg)
    cfg.custom_hooks = [
        dict(type='CheckpointSettingsHook', on_mismatch='warn')]
    check_file(path, model, cfg)
    same = settings_of()
    check_file(path, MODELS.build(copy.deepcopy(same)), Config(
        dict(model=same)))
    bare = tmp_path / 'bare.safetensors'
    save_file(dict(weight=torch.ones(2)), bare)
    check_file(str(bare), model, cfg)


def test_training_starts_from_anything(trained, runner):
    path = trained()
    model = settings_of(data_preprocessor__mean=[0, 0, 0])
    runner('more', model, load_from=path).train()


@pytest.mark.parametrize('saved, built, said', [
    (PROMPTS, None, 'learnt prompts backbone.prompts.tokens (length 2, depth '
     '2) and model.backbone has none'),
    (None, PROMPTS, 'has learnt prompts and the checkpoint has no '),
    (PROMPTS, dict(length=3, depth=1), 'set model.backbone.prompts to length='
     '2, depth=2')])
def test_prompts_on_one_side_only(trained, test, runner, saved, built, said):
    path = trained(prompts=saved)
    with pytest.raises(UserError, match='Use the config that') as error:
        test(path, prompts=built)
    assert path in str(error.value) and said in str(error.value)
    with pytest.raises(UserError, match='pretrained='):
        runner('more', settings_of(prompts=built), load_from=path).train()


def _base(path, shift=0.) -> str:
    """A CLIP to learn prompts on."""
    from projects.vifi_clip_tools.convert.arch import expected_weights
    draw = torch.Generator().manual_seed(0)
    torch.save({k: shift + 0.1 * torch.randn(v.shape, generator=draw)
                for k, v in expected_weights(tiny_arch()).items()}, path)
    return str(path)


def test_learnt_prompts_know_their_base(trained, test, tmp_path):
    good, bad = _base(tmp_path / 'a.pt'), _base(tmp_path / 'b.pt', 0.01)

    def on(base):
        return dict(
            prompts=PROMPTS,
            model=dict(tune='prompts', save_trainable_only=True),
            backbone__pretrained=base,
            cls_head__text_classifier__pretrained=base)

    path = trained(**on(good))
    assert len(torch.load(path, weights_only=True)['state_dict']) == 2
    assert len(_saved(path)['fingerprint']) == 64
    assert 'belongs to' not in test(path, **on(good))
    with pytest.raises(UserError, match='belongs to other weights') as error:
        test(path, **on(bad))
    assert path in str(error.value) and 'pretrained=' in str(error.value)
    hooks = [dict(type='CheckpointSettingsHook', on_mismatch='warn')]
    assert 'belongs to other weights' in test(path, hooks, **on(bad))


def test_a_retriever_shares_pixels_and_no_templates(trained):
    model = settings_of()
    pixels = model.pop('data_preprocessor')
    model['type'] = 'ViFiCLIPRetriever'
    model['cls_head'].update(loss_cls=dict(type='CLIPContrastiveLoss'))
    pixels['mean'] = [1., 2., 3.]
    model['data_preprocessor'] = dict(
        type='MultiModalDataPreprocessor', preprocessors=dict(
            imgs=pixels, text=dict(type='ActionDataPreprocessor')))
    built = MODELS.build(copy.deepcopy(model))
    found = collect_settings(built, model)
    assert found['pixel_mean'] == [1., 2., 3.]
    assert 'templates' not in found and 'descriptions' not in found
    with pytest.raises(UserError, match='preprocessors.imgs.mean=') as error:
        check_file(trained(), built, Config(dict(model=model)))
    assert 'templates' not in str(error.value)


def test_fingerprint():
    a, b = torch.randn(2, 3), torch.randn(())
    first = fingerprint([('a', a), ('b', b)])
    assert first == fingerprint([('b', b), ('a', a.clone())])
    assert len({first, fingerprint([('a', a)]),
                fingerprint([('a', a.T), ('b', b)]),
                fingerprint([('a', a), ('c', b)]),
                fingerprint([('a', a + 1e-6), ('b', b)])}) == 5


def test_values_are_compared_as_numbers():
    saved = dict(pixel_mean=[123.675, 0.0], templates=['a'], fusion='x')
    assert not compare_settings(saved, dict(pixel_mean=(123.6751, 0)))
    assert not compare_settings(saved, {})
    found, = compare_settings(saved, dict(templates=['a', 'b']))
    assert found.serious and found.name == 'templates'


def test_bad_setting():
    with pytest.raises(ValueError, match="'error' or 'warn'.*'ignore'"):
        CheckpointSettingsHook(on_mismatch='ignore')


@pytest.mark.parametrize('change, said', [
    (dict(meta='text'), 'its meta is a str, not a dict'),
    (dict(meta=['list']), 'its meta is a list, not a dict'),
    (dict(state_dict=None), 'holds a NoneType as its state_dict'),
    (dict(state_dict=[1]), 'holds a list as its state_dict'),
    (dict(state_dict={'a': 'x'}), 'holds no weight as its state_dict'),
    (dict(state_dict={1: torch.zeros(1)}), 'with the key 1'),
    (dict(state_dict={'a': 'x', 'b': torch.zeros(1)}), 'a in its state_dict '),
])
def test_files_of_odd_content_give_one_error(trained, test, tmp_path, change,
                                             said):
    content = torch.load(trained(), weights_only=True)
    torch.save(dict(content, **change), tmp_path / 'odd.pth')
    with pytest.raises((UserError, ValueError), match='odd.pth') as error:
        test(str(tmp_path / 'odd.pth'))
    assert said in str(error.value)


@pytest.mark.parametrize('content', [torch.zeros(2), [torch.zeros(2)],
                                     {1: torch.zeros(2)}])
def test_files_without_a_dict_of_weights(test, tmp_path, content):
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match='odd.pth holds a'):
        test(str(tmp_path / 'odd.pth'))
