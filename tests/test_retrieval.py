"""Retrieval: embeddings, loss and what trains, against OpenCLIP's own model;
from a config to its figures, on clips of one colour each with captions that
tell it."""
import json
import pickle
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from open_clip.loss import ClipLoss
from tiny import model_cfg, samples, tiny_arch
from tools_world import REPO

from projects.vifi_clip.checkpoints.layouts import read_layout

CAPTIONS = ['a man cooks', 'two dogs run after a red ball in the snow',
            'a car', 'someone plays the guitar']
TOKENS = 'cls_head.text_classifier.text.token_embedding.weight'


def build(text=(), **head):
    pixels = dict(type='ActionDataPreprocessor')
    cfg = model_cfg(
        head=head, type='ViFiCLIPRetriever', data_preprocessor=dict(
            type='MultiModalDataPreprocessor',
            preprocessors=dict(imgs=pixels, text=pixels)))
    classifier = cfg['cls_head']['text_classifier']
    del classifier['class_names']
    classifier.update(text)
    return MODELS.build(cfg)


def batch(num_frames=2, captions=CAPTIONS, length=24) -> dict:
    return dict(
        imgs=torch.randn(len(captions), num_frames, 3, 32, 32),
        text=open_clip.tokenize(captions, context_length=length))


def openclip_embeddings(model, inputs) -> tuple:
    """By OpenCLIP's model with the same weights."""
    clip = open_clip.CustomTextCLIP(**tiny_arch()).eval()
    clip.load_state_dict(read_layout(model.state_dict(), 'vifi', '').weights)
    frames = torch.stack([clip.encode_image(v) for v in inputs['imgs']])
    return (F.normalize(frames.mean(1), dim=-1),
            clip.encode_text(inputs['text'], normalize=True))


def contrastive(video, text, scale, ids) -> torch.Tensor:
    """Row by row: the mean log probability of all of a row's positives."""
    loss = 0.
    for rows, columns in (video, text), (text, video):
        for i, row in enumerate(rows):
            logs = (scale * columns @ row).log_softmax(0)
            right = [j for j in range(len(ids)) if ids[j] == ids[i]]
            loss -= logs[right].mean() / len(rows) / 2
    return loss


@torch.no_grad()
def test_embeddings_are_openclips():
    model, inputs = build().eval(), batch()
    embeddings = model(inputs, mode='tensor')
    torch.testing.assert_close(
        embeddings, openclip_embeddings(model, inputs), atol=1e-5, rtol=0)
    out = model(inputs, [ActionDataSample() for _ in CAPTIONS], mode='predict')
    for video, text, sample in zip(*embeddings, out):
        assert torch.equal(sample.features.video_feature, video)
        assert torch.equal(sample.features.text_feature, text)


def test_loss_of_distinct_labels_equals_openclips():
    video, text = F.normalize(torch.randn(2, 8, 16), dim=-1)
    scale = torch.tensor(12.0)
    expected = ClipLoss()(video, text, scale)
    for labels, weight in (None, 1.), (torch.randperm(8), .5):
        loss = MODELS.build(dict(type='CLIPContrastiveLoss',
                                 loss_weight=weight))
        torch.testing.assert_close(
            loss(video, text, scale, labels), expected * weight)


@pytest.mark.parametrize('ids', [[7, 2**62, 7, 7], None])
def test_loss_and_its_gradient(ids):
    model, inputs = build().train(), batch()
    data_samples = samples(
        [[label] for label in ids]) if ids else [ActionDataSample()] * 4
    loss, _ = model.parse_losses(model(inputs, data_samples, mode='loss'))
    leaves = [x.requires_grad_() for x in openclip_embeddings(model, inputs)]
    scale = model.cls_head.logit_scale.detach().clone().requires_grad_()
    expected = contrastive(*leaves, scale.exp(), ids or [0, 1, 2, 3])
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    expected_grad, = torch.autograd.grad(expected, scale)
    torch.testing.assert_close(model.cls_head.logit_scale.grad,
                               expected_grad, atol=1e-5, rtol=1e-4)
    for name, param in model.named_parameters():
        if name == TOKENS:
            assert param.grad is None
        else:
            assert param.grad.abs().sum() > 0, name


@pytest.mark.parametrize('changes, size, said', [
    (dict(loss_cls=dict(type='CrossEntropyLoss')), {}, 'loss_cls'),
    (dict(fusion='decision'), {}, 'fusion'),
    (dict(text=dict(prompts=dict(length=2, depth=1))), {}, 'prompts'),
    ({}, dict(num_frames=6), '6'), ({}, dict(length=77), '77')])
def test_settings_and_inputs_that_do_not_fit(changes, size, said):
    with pytest.raises(ValueError, match=said):
        build(**changes)(batch(**size), mode='tensor')


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
def knobs(monkeypatch, shared_world, lists, tmp_path):
    """The entry at its real pixel size, with a cut-down architecture."""
    arch = tmp_path / 'arch.json'
    arch.write_text(json.dumps(tiny_arch(
        vision_cfg=dict(image_size=224, patch_size=56),
        text_cfg=dict(context_length=77))))
    for name, value in dict(
            ARCH=arch, PRETRAINED='none', WORKERS=0, LIST_DIR=lists,
            VIDEO_DIR=shared_world / 'videos').items():
        monkeypatch.setenv(name, str(value))


FEW_FRAMES = (
    '--cfg-options', 'model.cls_head.num_frames=4',
    'train_dataloader.dataset.pipeline.1.num_clips=4',
    *(f'{part}_dataloader.dataset.pipeline.1.num_frames=4'
      for part in ('val', 'test')))


@pytest.mark.slow
def test_training_finds_videos_by_their_captions(knobs, tools, tmp_path):
    run, dump = tmp_path / 'run', tmp_path / 'features.pkl'
    tools.train(ENTRY, '--work-dir', run, '--amp', *FEW_FRAMES,
                'train_cfg.max_epochs=12', 'train_cfg.val_interval=6',
                'optim_wrapper.optimizer.lr=1e-3', 'param_scheduler=None')
    best, = run.glob('best_retrieval_R1_epoch_*.pth')
    metrics = tools.test(ENTRY, best, '--work-dir', tmp_path / 'test',
                         '--dump', dump, *FEW_FRAMES)
    dumped = pickle.loads(dump.read_bytes())
    video, text = (
        torch.stack([torch.as_tensor(s['features'][name]) for s in dumped])
        for name in ('video_feature', 'text_feature'))
    scores = text @ video.T
    # place of each caption's own video
    ranks = 1. + (scores > scores.diag()[:, None]).sum(1)
    assert len(ranks) == 4
    assert metrics['retrieval/R1'] == 100 * (ranks == 1).float().mean()
    assert metrics['retrieval/MnR'] == ranks.mean()
    assert metrics['retrieval/R1'] >= 75  # chance is 25
    assert 'backbone.visual.conv1.weight' in torch.load(best)['state_dict']


def test_what_the_entry_samples(knobs):
    init_default_scope('mmaction')
    cfg = Config.fromfile(ENTRY)
    assert (8 * cfg.train_dataloader.batch_size
            == cfg.auto_scale_lr.base_batch_size == 128)
    assert cfg.model.cls_head.num_frames == 16
    train_set, test_set = (DATASETS.build(loader.dataset) for loader in (
        cfg.train_dataloader, cfg.test_dataloader))
    assert (len(train_set), len(test_set)) == (16, 4)
    for inputs in train_set[2]['inputs'], test_set[3]['inputs']:
        assert inputs['imgs'].shape == (16, 3, 224, 224)
        assert inputs['text'].shape[-1] == 77
    assert cfg.test_dataloader.dataset.test_mode
    assert not cfg.test_dataloader.sampler.shuffle


def test_entry_default_places(knobs, monkeypatch):
    for name in 'LIST_DIR', 'LIST_ROOT', 'DATA_ROOT', 'VIDEO_DIR':
        monkeypatch.delenv(name, raising=False)
    cfg = Config.fromfile(ENTRY)
    for loader, name in ((cfg.train_dataloader, 'train_9k'),
                         (cfg.test_dataloader, 'test_JSFUSION')):
        assert Path(loader.dataset.ann_file).resolve() == (
            REPO / f'data_splits/msrvtt/{name}.json')
        assert loader.dataset.data_prefix.video == 'data/msrvtt/videos'
