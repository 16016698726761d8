"""Training on cached embeddings equals training on the videos."""
import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import refused, vifi
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from tools_world import NUM_FRAMES, PIPELINES, settings_of

import projects.vifi_clip.models.frame_embeddings  # noqa: F401
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.datasets.frame_cache import FrameCache
from projects.vifi_clip.datasets.loader_settings import resolve_workers
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.embeddings.frames import cache_frames
from projects.vifi_clip_tools.embeddings.frames_command import parse_args


def save_clip(root, seed=0) -> str:
    """A "pretrained CLIP" file."""
    torch.manual_seed(seed)
    model = MODELS.build(settings_of(root)['model'])
    path = root / f'clip_{seed}.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def video_settings(root, clip) -> dict:
    """Text training on videos, by the validation pipeline."""
    settings = settings_of(root)
    settings['model']['tune'] = 'text'
    settings['model']['backbone']['pretrained'] = clip
    settings['model']['cls_head']['text_classifier']['pretrained'] = clip
    settings['train_dataloader']['dataset']['pipeline'] = PIPELINES['val']
    return settings


def cached_settings(root, clip, cache) -> dict:
    """The same on embeddings."""
    settings = copy.deepcopy(video_settings(root, clip))
    settings['model']['backbone'].update(type='FrameEmbeddings', cache=cache)
    settings['model']['data_preprocessor'] = dict(
        settings['model']['data_preprocessor'],
        type='FrameEmbeddingPreprocessor', cache=cache)
    for part in 'train', 'val':
        settings[f'{part}_dataloader']['dataset'].update(
            type='CachedVideoDataset', cache=cache,
            source_pipeline=PIPELINES['val'],
            pipeline=[dict(type='PackActionInputs')])
    return settings


def embed(config, cache, *more) -> int:
    """Run cache-frames; how many videos were embedded."""
    return sum(cache_frames(parse_args([
        str(word) for word in (config, 'none', '--out', cache, '--device',
                               'cpu', '--batch-size', '3', *more)])).values())


@pytest.fixture(scope='module')
def made(shared_world, tmp_path_factory):
    """Folder with a CLIP, clip_0.pth, and a cache."""
    init_default_scope('mmaction')
    root = tmp_path_factory.mktemp('made')
    settings = video_settings(shared_world, save_clip(root))
    config = root / 'videos.py'
    config.write_text(''.join(f'{k} = {v!r}\n' for k, v in settings.items()))
    assert embed(config, root / 'cache') == 13
    return root


@pytest.fixture
def cached(world, made, write_config, tmp_path):
    """A config of a world's videos, its CLIP, and its cache."""
    clip = str(made / 'clip_0.pth')
    config = write_config('videos', world, **video_settings(world, clip))
    return config, clip, shutil.copytree(made / 'cache', tmp_path / 'cache')


def batch_of(settings, part):
    dataset = DATASETS.build(
        copy.deepcopy(settings[f'{part}_dataloader']['dataset']))
    return pseudo_collate([dataset[i] for i in range(len(dataset))])


def trained_step(settings):
    """Loss, gradients and scores of one batch."""
    model = MODELS.build(copy.deepcopy(settings['model']))
    model.train()
    data = model.data_preprocessor(batch_of(settings, 'train'), True)
    losses = model(**data, mode='loss')
    losses['loss_cls'].backward()
    grads = {n: p.grad for n, p in model.named_parameters()
             if p.grad is not None}
    with torch.no_grad():
        model.eval()
        found = model.val_step(batch_of(settings, 'val'))
    return (losses['loss_cls'].detach(), grads,
            torch.stack([sample.pred_score for sample in found]))


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


def prompted(settings) -> dict:
    """Prompts on the text side alone."""
    model = settings['model']
    model['tune'] = 'prompts'
    model['cls_head']['text_classifier']['prompts'] = dict(length=2, depth=2)
    return settings


def distilled(settings) -> dict:
    """A teacher gets the embeddings, too."""
    settings['model']['auxiliary'] = [dict(
        type='AnchorRelationLoss', teacher=dict(type='EMATeacher'))]
    return settings


def test_the_trained_model_needs_no_cache(cached, write_config, world,
                                          tmp_path, monkeypatch):
    """It is a folder that embeds videos, wherever it is."""
    _, clip, cache = cached
    config = write_config(
        'text', world, **cached_settings(world, clip, str(cache)))
    monkeypatch.setenv('LOCAL_RANK', '0')
    assert vifi('train', config, '--work-dir', tmp_path / 'run') == 0
    shutil.rmtree(cache)
    videos = str(world / 'videos')
    folder = ViFiCLIPInferencer(str(tmp_path / 'run/model'), device='cpu')
    direct = ViFiCLIPInferencer(
        write_config('direct', world, **video_settings(world, clip)),
        str(tmp_path / 'run/epoch_1.pth'), device='cpu')
    torch.testing.assert_close(
        torch.tensor([a['scores'] for a in folder(videos)['predictions']]),
        torch.tensor([a['scores'] for a in direct(videos)['predictions']]))


@pytest.mark.parametrize(
    'change', [lambda settings: settings, prompted, distilled],
    ids=['text', 'prompts', 'auxiliary'])
def test_loss_gradients_and_scores_equal(world, cached, change):
    _, clip, cache = cached
    torch.manual_seed(3)
    plain = trained_step(change(video_settings(world, clip)))
    shutil.rmtree(world / 'videos')  # not needed any more
    torch.manual_seed(3)
    found = trained_step(change(cached_settings(world, clip, str(cache))))
    torch.testing.assert_close(found[0], plain[0], atol=1e-5, rtol=1e-5)
    assert found[1].keys() == plain[1].keys()
    assert all('text_classifier.' in name or name.startswith('auxiliary.')
               for name in found[1])
    assert any(grad.abs().max() > 1e-3 for grad in plain[1].values())
    for name, grad in plain[1].items():
        torch.testing.assert_close(found[1][name], grad, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2], plain[2], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_what_was_trained_on_the_cache_tests_on_videos(
        tools, world, cached, write_config, tmp_path):
    config, clip, cache = cached
    ours = write_config('cached', world,
                        **cached_settings(world, clip, str(cache)))
    tools.train(ours, '--work-dir', tmp_path / 'run')
    checkpoint = tmp_path / 'run/epoch_1.pth'
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    start = torch.load(clip, weights_only=True)['state_dict']
    same = {name for name in state if torch.equal(state[name], start[name])}
    assert {n for n in state if n.startswith('backbone.')} <= same
    assert len(same) < len(state)
    scores = [tools.test(one, checkpoint, '--work-dir', tmp_path / str(i))
              for i, one in enumerate((config, ours))]
    assert scores[0] == scores[1]


def test_files(world, cached, write_config, capsys):
    config, _, cache = cached
    made = json.loads((cache / 'cache.json').read_text())
    assert made['num_frames'] == NUM_FRAMES and made['dtype'] == 'float32'
    assert made['pixel_mean'] == [123.675, 116.28, 103.53]
    assert [step['type'] for step in made['pipeline'][1:]] == [
        step['type'] for step in PIPELINES['val'][1:]]
    name, = cache.glob('train-*.npy')
    rows = np.load(name)
    assert rows.shape == (8, NUM_FRAMES, 32) and rows.dtype == np.float32
    listed = json.loads(name.with_suffix('.json').read_text())
    assert listed['paths'] == [f'train_{i}.mp4' for i in range(8)]
    assert np.array_equal(FrameCache(str(cache))['train_3.mp4'], rows[3])
    before = {p: p.stat().st_mtime_ns for p in cache.iterdir()}
    assert embed(config, cache) == 0  # done lists are not done again
    # and another model does not go on
    other = write_config('o', world, **video_settings(
        world, save_clip(world, seed=1)))
    refused(capsys, 'cache-frames', other, 'none', '--out', cache,
            names='weights')
    assert {p: p.stat().st_mtime_ns for p in cache.iterdir()} == before


def test_interrupted_work_goes_on(world, cached, tmp_path):
    config, _, whole = cached
    cache, video = tmp_path / 'again', world / 'videos' / 'train_7.mp4'
    good = video.read_bytes()
    video.write_bytes(b'no video'.ljust(len(good)))  # of the same size
    argv = ['cache-frames', config, 'none', '--out', cache, '--batch-size',
            '3', '--parts', 'train']
    assert vifi(*argv) == 2
    assert not list(cache.glob('*.npy'))
    video.write_bytes(good)
    assert embed(config, cache, '--parts', 'train') == 2  # 6 of 8 were done
    for path in cache.glob('*.npy'):
        np.testing.assert_allclose(np.load(path), np.load(whole / path.name),
                                   atol=1e-5)
    assert not list(cache.glob('*.part'))


def test_half_precision_is_near(cached, tmp_path):
    config, _, whole = cached
    half = tmp_path / 'half'
    embed(config, half, '--dtype', 'float16', '--parts', 'val')
    found, exact = FrameCache(str(half)), FrameCache(str(whole))
    for key in found.places:
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], exact[key], rtol=5e-4,
                                   atol=1e-7)
    assert any((found[k] != exact[k]).any() for k in found.places)


def _other_clip(settings):
    settings['model']['backbone']['pretrained'] = save_clip(
        Path(settings['train_dataloader']['dataset']['data_root']), seed=1)


@pytest.mark.parametrize('change, names', [
    (_other_clip, 'weights'),
    (lambda s: s['model']['backbone']['arch'].update(quick_gelu=False),
     'visual_activation'),
    (lambda s: s['model']['data_preprocessor'].update(std=[60., 60., 60.]),
     'pixel_std'),
    (lambda s: s['train_dataloader']['dataset'].update(
        source_pipeline=PIPELINES['test']), 'pipeline'),
    (lambda s: s['model'].update(tune='both'), 'TUNE=text'),
    (lambda s: s['model']['data_preprocessor'].update(
        blending=dict(type='MixupBlending', alpha=0.8)), 'blending=None')])
def test_what_does_not_fit_the_cache_is_refused(world, cached, change, names):
    settings = cached_settings(world, cached[1], str(cached[2]))
    change(settings)
    with pytest.raises((UserError, ValueError), match=names):
        trained_step(settings)


def test_another_list(world, cached):
    """A part of a list will do, in any order; more than it will not."""
    _, clip, cache = cached
    settings = cached_settings(world, clip, str(cache))
    lines = (world / 'train.txt').read_text().splitlines()
    (world / 'train.txt').write_text('\n'.join(lines[5:2:-1]) + '\n')
    inputs = batch_of(settings, 'train')['inputs']
    stored = FrameCache(str(cache))
    for found, row in zip(inputs, (5, 4, 3)):
        assert np.array_equal(found.numpy(), stored[f'train_{row}.mp4'])
    (world / 'train.txt').write_text('new.mp4 0\n' + '\n'.join(lines) + '\n')
    with pytest.raises(UserError, match='1 of the 9 videos.*new.mp4'):
        batch_of(settings, 'train')


def test_a_folder_that_cannot_be_written_is_said_first(capsys):
    refused(capsys, 'cache-frames', 'vifi_mini', 'none', '--out', '/proc/x',
            names='--out /proc/x')


@pytest.mark.parametrize('change, names', [
    (lambda s: s['val_dataloader']['dataset'].update(
        pipeline=PIPELINES['train']), 'random'),
    (lambda s: s['val_dataloader']['dataset'].update(
        pipeline=PIPELINES['test']), 'num_frames'),
    (lambda s: s['model']['backbone'].update(
        type='VLDeepPromptBackbone', prompts=dict(length=2, depth=1)),
     'VLDeepPromptBackbone'),
    (lambda s: s.update(val_dataloader=None, val_cfg=None,
                        val_evaluator=None), 'val_dataloader')])
def test_configs_that_cannot_be_cached(world, write_config, tmp_path, capsys,
                                       change, names):
    settings = video_settings(world, save_clip(world))
    change(settings)
    config = write_config('c', world, **settings)
    refused(capsys, 'cache-frames', config, 'none', '--out', tmp_path / 'out',
            names=names)


@pytest.mark.parametrize('entry', ['vifi_k400', 'vifi_few_shot',
                                   'vifi_mini'])
def test_entry_config(monkeypatch, entry):
    configs = Path(__file__).parents[2] / 'configs'
    for name, value in dict(ENTRY=entry, TUNE='text', CACHE='my/cache',
                            PRETRAINED='none').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(configs / 'vifi_cached.py')
    source = Config.fromfile(configs / f'{entry}.py')
    assert cfg.model.backbone.cache == 'my/cache'
    pixels = cfg.model.data_preprocessor
    assert pixels.blending is None
    assert pixels.mean == source.model.data_preprocessor.mean
    assert cfg.optim_wrapper == source.optim_wrapper
    assert cfg.test_dataloader == source.test_dataloader
    for part in 'train_dataloader', 'val_dataloader':
        assert cfg[part].num_workers == 0
        assert dict(
            type='CachedVideoDataset', cache='my/cache',
            source_pipeline=source.val_pipeline,
            ann_file=source[part].dataset.ann_file
        ).items() <= cfg[part].dataset.to_dict().items()
    before = cfg.to_dict()
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    resolve_workers(cfg)
    assert cfg.to_dict() == before
    monkeypatch.setenv('ENTRY', 'vifi_retrieval')
    with pytest.raises(ValueError, match='ENTRY=vifi_retrieval'):
        Config.fromfile(configs / 'vifi_cached.py')
