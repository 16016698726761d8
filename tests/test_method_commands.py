"""The commands with each METHOD: as with ViFi-CLIP, or refused in one line
before any work."""
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commands import refused, vifi
from helpers import coded_frame, write_mp4
from tiny import NAMES
from tiny_methods import (METHODS, TOGETHER, build_method, method_cfg,
                          method_settings)
from tiny_xclip import D
from tools_world import NUM_FRAMES as T

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip.datasets.frame_cache import FrameCache
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.demo.service import Recogniser
from projects.vifi_clip_tools.embeddings.file import read_embeddings

FPS, TOTAL = 10, 40
SEARCHED = [method for method in METHODS if method != 'xclip']
APART = [method for method in METHODS if method not in TOGETHER]


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def config(write_config, method):
    return write_config(model=method_cfg(method))


@pytest.fixture
def weights(tmp_path, method):
    """Of a model that tells classes apart."""
    path = tmp_path / f'{method}.pth'
    model = build_method(method)
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
    """Fused views [B, D] of their frames [B, T, h, w, 3]; [B, 1 + P, D] with
    tokens."""
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
    assert vifi('embed', clip, *model, '--out', tmp_path / 'e.npz') == 0
    rows = read_embeddings(str(tmp_path / 'e.npz')).embeddings
    assert rows.shape == (1, D)
    np.testing.assert_allclose(
        rows[0], infer.model.cls_head.video_embeddings(fused)[0], atol=1e-5)


def test_windows_are_views_of_their_own(infer, clip):
    windows = infer.window_embeddings(clip, 1.2, 0.1)
    with VideoInput('a', clip).opened() as opened:
        grid = infer.sampler.windows(opened, 1.2, 0.1, T)
        images = grid.read(grid.unique)[grid.rows]
    assert len(images) > 20  # several parts, frames that windows share
    assert len(grid.unique) < images.shape[0] * T / 2
    fused = fused_by_hand(infer, images)
    head = infer.model.cls_head
    torch.testing.assert_close(windows.embeddings,
                               head.video_embeddings(fused))
    with torch.no_grad():
        scores = head.class_logits(fused).softmax(-1)
    np.testing.assert_allclose(infer.timeline(clip, 1.2, 0.1).scores, scores,
                               atol=1e-5)


@pytest.mark.parametrize('method', [m for m in METHODS if m != 'tc_clip'],
                         indirect=True)
def test_attention(method, model, clip, tmp_path, capsys):
    """Maps of the frame's own tokens, X-CLIP's message left out."""
    out, video = tmp_path / 'm.npz', tmp_path / 'v.mp4'
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
    if method in TOGETHER:
        refused(capsys, 'attention', clip, *model, '--video', video,
                names=['--video', 'METHOD=xclip'])
    else:
        assert vifi('attention', clip, *model, '--video', video) == 0
    assert video.exists() == (method in APART)


@pytest.mark.parametrize('method, command, said', [
    ('xclip', 'export MODEL --out out', 'METHOD=xclip'),
    ('xclip', 'index CLIP MODEL --index out', 'METHOD=xclip'),
    ('xclip', 'cache-frames CONFIG none --out out', 'XCLIPBackbone'),
    ('tc_clip', 'export MODEL --out out', 'tc_clip'),
    ('tc_clip', 'attention CLIP MODEL --out out.png', 'METHOD=tc_clip'),
    ('tc_clip', 'cache-frames CONFIG none --out out', 'ContextBackbone'),
    ('aim', 'export MODEL --out out', 'aim'),
    ('aim', 'cache-frames CONFIG none --out out', 'AIMBackbone')],
    indirect=['method'])
def test_what_has_no_text_or_frame_of_its_own(
        command, said, config, model, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = dict(CLIP=[clip], CONFIG=[config], MODEL=model)
    said = refused(capsys, *(part for word in command.split()
                             for part in words.get(word, [word])),
                   names=said)
    assert len(said.strip().splitlines()) == 1
    assert not list((tmp_path / 'out').glob('*'))


@pytest.mark.parametrize('method', ['xclip'], indirect=True)
def test_texts_have_no_embedding(infer):
    with pytest.raises(UserError, match='METHOD=xclip'):
        infer.text_embeddings(['a text'])


def test_retrieval_is_vifis(monkeypatch, capsys):
    monkeypatch.setenv('METHOD', 'a5')
    refused(capsys, 'train', 'vifi_retrieval', names='METHOD=a5 is not a knob')


def exported(write_config, out, method, *words, **knobs) -> int:
    """Export a model, which the command compares with its files."""
    config = write_config(model=method_cfg(method, **knobs))
    return vifi('export', '--config', config, '--out', out, *words)


@pytest.mark.parametrize('method, temporal, counts', [
    ('vifi', '', [2, 4, 90]), ('a5', '', [2, 4, 16]), ('a6', '', [2, 4, 16]),
    ('actionclip', 'transf', [2, 4, 77]), ('actionclip', 'meanp', [2, 4, 90]),
    ('actionclip', 'conv1d', [2, 4, 90]), ('actionclip', 'transf_cls', [T]),
    ('lora', '', [2, 4, 90])])
def test_export(method, temporal, counts, write_config, tmp_path, capsys):
    """At as many frames as a method takes, with its prompts and templates."""
    knobs = dict(TEMPORAL=temporal) if temporal else {}
    if temporal == 'transf_cls':
        knobs['NUM_FRAMES'] = str(T)
    out = tmp_path / 'out'
    assert exported(
        write_config, out, method, '--format', 'torch-export', '--parts',
        'text,classifier' if method == 'a5' else 'classifier',
        '--check-batches', 2, '--check-frames', 2, 4, 90, **knobs) == 0
    rows = re.findall(r'^classifier.pt2 +2 +(\d+) ', capsys.readouterr().out,
                      re.M)
    assert list(map(int, rows)) == counts
    assert (f' to {counts[-1]} run' in (out / 'README.md').read_text()
            ) == (counts[-1] != 90)


def test_an_lstm_is_not_exported(write_config, tmp_path, capsys):
    assert exported(write_config, tmp_path, 'actionclip', '--format',
                    'torch-export', TEMPORAL='lstm') == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'video_encoder.pt2' in said and 'frames' in said
    assert not list(tmp_path.glob('*.pt2'))


@pytest.mark.slow
@pytest.mark.parametrize('method', ['actionclip', 'a5'])
def test_export_to_onnx(method, write_config, tmp_path):
    """The example makes the classifier's answer of the two encoders'."""
    assert exported(write_config, tmp_path / 'out', method, '--check-frames',
                    4, '--check-batches', 1) == 0
    done = subprocess.run(
        [sys.executable, tmp_path / 'out/example.py'], text=True,
        stdout=subprocess.PIPE, timeout=100, check=True)
    assert float(done.stdout.split('the same to')[1]) < 1e-5


@pytest.mark.parametrize('method', SEARCHED, indirect=True)
def test_search(model, infer, clip, tmp_path, capsys):
    """A text by itself, with a method's own prompts."""
    index = tmp_path / 'i'
    assert vifi('index', clip, *model, '--index', index) == 0
    capsys.readouterr()
    assert vifi('search', NAMES[2], '--index', index, *model) == 0
    cosine = re.search(r'1 +(\S+) +whole', capsys.readouterr().out)[1]
    video = fused_by_hand(infer, infer.sample(clip).images[None])[0]
    text = infer.classifier.embed_texts([NAMES[2]], '{}')[0]
    assert float(cosine) == pytest.approx(float(video @ text), abs=1e-3)


@pytest.mark.parametrize('method', APART, indirect=True)
def test_cached_frames(config, weights, infer, shared_world, tmp_path):
    """They are kept before the frames see each other."""
    assert vifi('cache-frames', config, weights, '--out', tmp_path / 'c',
                '--device', 'cpu', '--parts', 'val') == 0
    rows = FrameCache(str(tmp_path / 'c'))['val_2.mp4']
    record, = infer.embed([str(shared_world / 'videos/val_2.mp4')])
    with torch.no_grad():
        video = infer.model.cls_head.fuse(torch.from_numpy(rows))
    np.testing.assert_allclose(record['embedding'], video, atol=1e-5)


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
    recipe = method_settings('xclip').recipe.mini.optim_wrapper
    config = write_config(
        model=method_cfg('xclip'),
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
