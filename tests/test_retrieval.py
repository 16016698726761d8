"""Retrieval from a config to its figures, on clips of one colour each with
captions that tell it."""
import json
import pickle
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from tiny import tiny_arch
from tools_world import NUM_FRAMES, PIPELINES, REPO

ENTRY = REPO / 'configs/vifi_retrieval.py'
COLOURS = ['black', 'red', 'green', 'yellow']  # of the four classes


@pytest.fixture(scope='module')
def lists(tmp_path_factory) -> Path:
    """Captions of clips of the shared world, by the entry's names."""
    folder = tmp_path_factory.mktemp('lists')
    for name, video, texts in (
            ('train_9k', 'train_{}.mp4', ['a {} wall', 'all is {}']),
            ('test_JSFUSION', 'val_{}.mp4', ['a {} wall'])):
        (folder / f'{name}.json').write_text(json.dumps({
            video.format(i): [text.format(COLOURS[i % 4]) for text in texts]
            for i in range(4 * len(texts))}))
    return folder


@pytest.fixture
def write_retrieval(write_config, shared_world, lists):
    """A config file over the repository's entry, with small parts."""
    entry = Config.fromfile(ENTRY).to_dict()
    tower = dict(arch=tiny_arch(), pretrained=None)
    model = entry['model']
    model['backbone'].update(tower)
    model['cls_head']['text_classifier'].update(tower)
    model['cls_head']['num_frames'] = NUM_FRAMES

    def loader(part, batch_size):
        dataset = entry[f'{part}_dataloader']['dataset']
        steps = PIPELINES['train' if part == 'train' else 'val'][:-1]
        return dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=entry[f'{part}_dataloader']['sampler'],
            dataset=dict(
                dataset,
                ann_file=str(lists / Path(dataset['ann_file']).name),
                data_prefix=dict(video=str(shared_world / 'videos')),
                pipeline=[
                    *(step for step in steps if step['type'] != 'Flip'),
                    dict(type='OpenCLIPTokenize', arch=tiny_arch()),
                    dataset['pipeline'][-1]]))

    def write(**changes) -> str:
        settings = dict(
            model=model,
            train_dataloader=loader('train', 8),
            val_dataloader=loader('val', 2),
            test_dataloader=loader('test', 2),
            **{key: entry[key] for key in (
                'val_evaluator', 'test_evaluator', 'val_cfg', 'test_cfg')},
            default_hooks=dict(checkpoint=dict(
                interval=5, save_best='retrieval/R1', rule='greater')))
        return write_config(**{**settings, **changes})

    return write


@pytest.mark.slow
def test_training_finds_videos_by_their_captions(tools, write_retrieval,
                                                 tmp_path):
    config = write_retrieval(train_cfg=dict(
        type='EpochBasedTrainLoop', max_epochs=15, val_interval=5))
    run, dump = tmp_path / 'run', tmp_path / 'features.pkl'
    tools.train(config, '--work-dir', run, '--amp')
    best, = run.glob('best_retrieval_R1_epoch_*.pth')
    metrics = tools.test(config, best, '--work-dir', tmp_path / 'test',
                         '--dump', dump)
    features = [sample['features'] for sample in pickle.loads(
        dump.read_bytes())]
    video, text = (torch.stack([torch.as_tensor(f[name]) for f in features])
                   for name in ('video_feature', 'text_feature'))
    scores = text @ video.T
    # place of each caption's own video
    ranks = 1. + (scores > scores.diag()[:, None]).sum(1)
    assert len(ranks) == 4
    assert metrics['retrieval/R1'] == 100 * (ranks == 1).float().mean()
    assert metrics['retrieval/MnR'] == ranks.mean()
    assert metrics['retrieval/R1'] >= 75  # chance is 25
    assert 'backbone.visual.conv1.weight' in torch.load(best)['state_dict']


def test_frozen_clip_needs_no_checkpoint(tools, write_retrieval, tmp_path):
    metrics = tools.test(write_retrieval(), 'none', '--work-dir', tmp_path)
    assert set(metrics) == {f'retrieval/{name}' for name in
                            ('R1', 'R5', 'R10', 'MdR', 'MnR')}
    assert metrics['retrieval/R5'] == 100  # of four


def test_count_as_wrong_is_refused(tools, write_retrieval):
    with pytest.raises(ValueError, match='--bad-videos'):
        tools.test(write_retrieval(), 'none', '--bad-videos',
                   'count_as_wrong')


def test_entry_takes_a_step(monkeypatch, shared_world, lists, tmp_path):
    """At its real pixel size, with a cut-down architecture."""
    arch = tmp_path / 'arch.json'
    arch.write_text(json.dumps(tiny_arch(
        vision_cfg=dict(image_size=224, patch_size=56),
        text_cfg=dict(context_length=77))))
    for name, value in dict(ARCH=arch, PRETRAINED='none', LIST_DIR=lists,
                            VIDEO_DIR=shared_world / 'videos').items():
        monkeypatch.setenv(name, str(value))
    init_default_scope('mmaction')
    cfg = Config.fromfile(ENTRY)
    assert (8 * cfg.train_dataloader.batch_size
            == cfg.auto_scale_lr.base_batch_size == 128)
    assert cfg.model.cls_head.num_frames == 16
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 16
    data = pseudo_collate([dataset[i] for i in (0, 1, 2)])
    data = model.data_preprocessor(data, training=True)
    assert data['inputs']['imgs'].shape == (3, 16, 3, 224, 224)
    assert data['inputs']['text'].shape == (3, 77)
    loss = model(**data, mode='loss')['loss_contrastive']
    assert torch.isfinite(loss) and loss.requires_grad
    test = cfg.test_dataloader
    assert test.dataset.test_mode and not test.sampler.shuffle
    dataset = DATASETS.build(test.dataset)
    assert len(dataset) == 4
    assert dataset[3]['inputs']['imgs'].shape == (16, 3, 224, 224)


def test_entry_default_places(monkeypatch):
    for name in 'LIST_DIR', 'LIST_ROOT', 'DATA_ROOT', 'VIDEO_DIR':
        monkeypatch.delenv(name, raising=False)
    cfg = Config.fromfile(ENTRY)
    for part, name in dict(train='train_9k', test='test_JSFUSION').items():
        dataset = cfg[f'{part}_dataloader'].dataset
        assert Path(dataset.ann_file).resolve() == (
            REPO / f'data_splits/msrvtt/{name}.json')
        assert dataset.data_prefix.video == 'data/msrvtt/videos'
