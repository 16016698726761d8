"""The commands with an X-CLIP: as with ViFi-CLIP, or refused in one line."""
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commands import refused, vifi
from helpers import coded_frame, write_mp4
from mmengine.config import Config
from tiny import NAMES
from tiny_xclip import D, build_xclip, xclip_cfg
from tools_world import NUM_FRAMES as T
from tools_world import PREPROCESSOR

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.resources import root
from projects.vifi_clip_tools.demo.service import Recogniser
from projects.vifi_clip_tools.embeddings.file import read_embeddings

FPS, TOTAL = 10, 40


@pytest.fixture
def config(write_config):
    return write_config(model=xclip_cfg(T, data_preprocessor=PREPROCESSOR))


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Of a model that tells classes apart."""
    path = tmp_path_factory.mktemp('weights') / 'xclip.pth'
    model = build_xclip(T, data_preprocessor=PREPROCESSOR)
    torch.save(dict(state_dict=model.state_dict(),
                    meta=dict(vifi_clip=collect_settings(model))), path)
    return str(path)


@pytest.fixture
def model(config, weights):
    return ['--config', config, '--checkpoint', weights, '--device', 'cpu']


@pytest.fixture
def infer(config, weights):
    return ViFiCLIPInferencer(config, weights, 'cpu')


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return write_mp4(tmp_path_factory.mktemp('clip') / 'a.mp4', fps=FPS,
                     frames=[coded_frame(t, (64, 48)) for t in range(TOTAL)])


@torch.no_grad()
def fused_by_hand(infer, images):
    """Fused views [B, 1 + P, D] of their frames [B, T, h, w, 3]."""
    model = infer.model
    return torch.cat([model.cls_head.fuse(model.backbone(
        infer.normalise(view)).unflatten(0, (1, T))) for view in images])


def test_predict_and_embed(infer, model, clip, tmp_path):
    images = infer.sample(clip).images
    fused = fused_by_hand(infer, images[None])
    with torch.no_grad():
        scores = infer.model.cls_head.class_logits(fused).softmax(-1)[0]
    out = tmp_path / 'r.jsonl'
    assert vifi('predict', clip, *model, '--out', out) == 0
    record = json.loads(out.read_text().splitlines()[-1])
    by_label = dict(zip(record['labels'], record['scores']))
    np.testing.assert_allclose([by_label[name] for name in NAMES], scores,
                               atol=1e-4)
    np.testing.assert_allclose(infer.video_scores(images), scores, atol=1e-5)
    assert infer.frame_scores(images).shape == (T, len(NAMES))
    assert vifi('embed', clip, *model, '--out', tmp_path / 'e.npz') == 0
    rows = read_embeddings(str(tmp_path / 'e.npz')).embeddings
    assert rows.shape == (1, D)
    np.testing.assert_allclose(rows[0], fused[0, 0], atol=1e-5)


def test_windows_embed_their_frames_together(infer, clip):
    windows = infer.window_embeddings(clip, 1.2, 0.1)
    with VideoInput('a', clip).opened() as opened:
        grid = infer.sampler.windows(opened, 1.2, 0.1, T)
        images = grid.read(grid.unique)[grid.rows]
    assert len(images) > 20  # several parts, frames that windows share
    assert len(grid.unique) < images.shape[0] * T / 2
    fused = fused_by_hand(infer, images)
    torch.testing.assert_close(windows.embeddings, fused[:, 0])
    with torch.no_grad():
        scores = infer.model.cls_head.class_logits(fused).softmax(-1)
    np.testing.assert_allclose(infer.timeline(clip, 1.2, 0.1).scores, scores,
                               atol=1e-5)


def test_attention(infer, model, clip, tmp_path, capsys):
    """Maps of the frame's own tokens, the message left out."""
    out = tmp_path / 'm.npz'
    assert vifi('attention', clip, *model, '--npz', out) == 0
    arrays = dict(np.load(out))
    maps = {key.split('/')[-1]: value for key, value in arrays.items()
            if key.startswith('maps/')}
    assert maps.keys() == {'rollout', 'last', 'gradient'}
    for values in maps.values():
        assert values.shape == (T, 4, 4) and (values >= 0).all()
        assert values.any(axis=(1, 2)).all()
    shares = maps['last'].sum((1, 2))
    assert (shares > 0.5).all() and (shares < 1).all()
    refused(capsys, 'attention', clip, *model, '--video', tmp_path / 'v.mp4',
            names='--video')


@pytest.mark.parametrize('command', [
    ('export', '--out', 'out'), ('index', 'CLIP', '--index', 'out')])
def test_what_has_no_text_or_frame_of_its_own(command, model, clip, tmp_path,
                                              monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [clip if word == 'CLIP' else word for word in command]
    said = refused(capsys, *command, *model, names='METHOD=xclip')
    assert len(said.strip().splitlines()) == 1
    assert not list((tmp_path / 'out').glob('*'))


def test_texts_have_no_embedding(infer):
    with pytest.raises(UserError, match='METHOD=xclip'):
        infer.text_embeddings(['a text'])


def test_frames_are_not_cached(config, tmp_path, capsys):
    refused(capsys, 'cache-frames', config, 'none', '--out', tmp_path / 'c',
            names='XCLIPBackbone')
    assert not (tmp_path / 'c').exists()


def test_demo(infer, clip):
    recogniser = Recogniser(infer)
    try:
        found = recogniser.recognise(recogniser.check(clip, ', '.join(NAMES)))
    finally:
        recogniser.close()
    scores = dict(zip(infer.class_names,
                      infer.video_scores(infer.sample(clip).images)))
    assert len(found.frames.captions) == T
    for label, score in found.ranking:
        assert score == pytest.approx(float(scores[label]), abs=1e-5)


def test_faster_inference(infer, clip, config, weights):
    """In bfloat16, windows still know their frames."""
    fast = ViFiCLIPInferencer(config, weights, 'cpu', precision='bf16')
    rows = [model.window_embeddings(clip, 1.2, 0.6).embeddings
            for model in (infer, fast)]
    assert (F.cosine_similarity(*rows) > 0.99).all()


def test_training_and_test(tools, write_config, tmp_path):
    """By the tools, with the rates of METHOD=xclip."""
    recipe = Config.fromfile(
        root() / 'configs/_base_/methods/xclip.py').recipe.mini.optim_wrapper
    config = write_config(
        model=xclip_cfg(T, data_preprocessor=PREPROCESSOR),
        optim_wrapper=dict(
            recipe.to_dict(), type='AutocastOptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01)))
    tools.train(config, '--work-dir', tmp_path / 'work')
    checkpoint = tmp_path / 'work' / 'epoch_1.pth'
    groups = torch.load(checkpoint, weights_only=False)['optimizer'][
        'param_groups']
    assert sorted((g['lr'], g['weight_decay']) for g in groups) == [
        (1e-3, 0), (1e-3, 0.01), (1e-2, 0), (1e-2, 0.01)]
    tools.test(config, checkpoint, '--work-dir', tmp_path / 'test')
