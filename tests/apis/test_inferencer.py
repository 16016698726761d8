"""The inferencer against sums done by hand; which model made a file.

Letters: V views, T frames, K classes, W windows.
"""
import json
from dataclasses import replace

import decord
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from helpers import LABELS, coded_frame, write_mp4, write_video
from mmengine.config import Config
from tiny import model_cfg
from tools_world import PIPELINES, PREPROCESSOR

from projects.vifi_clip.apis.identity import (NOTES, Identity, differences,
                                              record)
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.mini_world.clips import list_jobs, render_clip
from projects.vifi_clip_tools.mini_world.world import WorldParams

TOTAL, FPS, T = 40, 10, 8  # of the clips; of a view
CONFIG = dict(val_pipeline=PIPELINES['val'], test_pipeline=PIPELINES['test'])


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """Four clips of 64 x 64 pixels, no frame of which is like another."""
    folder = tmp_path_factory.mktemp('clips')
    for i in range(4):
        write_mp4(folder / f'clip_{i}.mp4', fps=FPS, frames=[
            coded_frame(i * TOTAL + t, (64, 64)) for t in range(TOTAL)])
    return folder


def read(path, indices) -> np.ndarray:
    """Frames [*, 64, 64, 3] of a file."""
    return decord.VideoReader(str(path)).get_batch(indices).asnumpy()


def towers(small, frames, texts, template='a photo of {}.') -> tuple:
    """Embeddings of the frames' middle 60 pixels and of texts, in float64
    and by OpenCLIP's own forward."""
    pixels = torch.tensor(frames[:, 2:62, 2:62]).double()
    pixels = ((pixels - 127.5) / 64).permute(0, 3, 1, 2)
    visual = small.model.backbone.visual.double()
    text = small.classifier.text.double()
    tokens = open_clip.get_tokenizer('ViT-B-16')(
        [template.format(name) for name in texts])
    try:
        with torch.no_grad():
            return visual(pixels), text(tokens[:, :text.context_length])
    finally:
        visual.float(), text.float()


def softmax(small, videos, texts) -> np.ndarray:
    """Probabilities [N, K] of embeddings of videos [N, D]."""
    scale = small.model.cls_head.logit_scale.double().exp()
    logits = scale * F.normalize(videos, dim=-1) @ F.normalize(
        texts, dim=-1).T
    return logits.softmax(-1).detach().numpy()


# int((i + .5) * 40 / 8)
MIDDLES = [2, 7, 12, 17, 22, 27, 32, 37]


def test_one_view_by_hand(small, clips):
    path = str(clips / 'clip_0.mp4')
    frames, texts = towers(small, read(path, MIDDLES), LABELS)
    expected, = softmax(small, frames.mean(0)[None], texts)
    result, = small(path)['predictions']
    order = np.argsort(-expected)
    assert result['labels'] == [LABELS[i] for i in order]
    assert result['video'] == path
    two, = small.predict(path, topk=2)
    assert two['scores'] == result['scores'][:2]
    np.testing.assert_allclose(result['scores'], expected[order], atol=1e-5)

    sample = small.sample(path)
    assert sample.indices.tolist() == MIDDLES and sample.fps == FPS
    np.testing.assert_allclose(sample.times, np.array(MIDDLES) / FPS)
    np.testing.assert_array_equal(sample.images,
                                  read(path, MIDDLES)[:, 2:62, 2:62])
    embedding, = (found['embedding'] for found in small.embed(path))
    assert embedding.dtype == np.float32
    for ours, theirs in (
            (small.video_scores(sample.images), expected),
            (embedding, F.normalize(frames.mean(0), dim=0))):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(small.frame_embeddings(sample.images), frames,
                               atol=1e-4)


def test_views_are_averaged_after_the_softmax(small, clips):
    path = clips / 'clip_1.mp4'
    read_views = small.sampler.reader((4, 3))
    inputs = read_views(VideoInput('x', str(path)))['inputs']
    assert inputs.shape == (4 * 3 * T, 3, 60, 60)
    full = np.zeros((4 * 3 * T, 64, 64, 3), np.uint8)
    full[:, 2:62, 2:62] = inputs.permute(0, 2, 3, 1).numpy()
    frames, texts = towers(small, full, LABELS)
    views = frames.unflatten(0, (4 * 3, T)).mean(1)
    result, = small.predict(path, num_views=(4, 3))
    by_label = dict(zip(result['labels'], result['scores']))
    np.testing.assert_allclose([by_label[name] for name in LABELS],
                               softmax(small, views, texts).mean(0),
                               atol=1e-5)
    mean = F.normalize(F.normalize(views, dim=-1).mean(0), dim=0)
    found, = small.embed(path, num_views=(4, 3))
    np.testing.assert_allclose(found['embedding'], mean, atol=1e-5)
    config, = small.predict(path, num_views=None)  # this config's own: 4 x 3
    assert config == result


def test_labels_are_encoded_when_they_change(small, clips, monkeypatch):
    calls, encode = [], small.classifier._encode_sentences
    monkeypatch.setattr(
        small.classifier, '_encode_sentences',
        lambda *args: calls.append(args[-1]) or encode(*args))
    small.set_labels(['x', 'y'])
    path = str(clips / 'clip_0.mp4')
    for labels in ['one', 'two'], 'one, two', None, ['one', 'two']:
        plain, = small(path, labels=labels)['predictions']
    assert calls == [2]
    small(path, labels=['one', 'two', 'three'], batch_size=2)
    other, = small(path, labels=['one', 'two'],
                   templates='the {} of it')['predictions']
    assert calls == [2, 3, 2]
    assert plain['scores'] != other['scores']
    _, texts = towers(small, read(path, MIDDLES), ['one', 'two'],
                      'the {} of it')
    np.testing.assert_allclose(small.classifier().detach(),
                               F.normalize(texts, dim=-1), atol=1e-5)
    assert small(path, labels=['one', 'two'])['predictions'] == [plain]


def test_texts_leave_the_labels(small):
    for templates in (), ('see {}', ):
        _, texts = towers(small, np.zeros((1, 64, 64, 3), np.uint8),
                          ['a star', 'a moon'], *templates)
        np.testing.assert_allclose(
            small.text_embeddings(['a star', 'a moon'], *templates),
            F.normalize(texts, dim=-1), atol=1e-5)
    assert small.class_names == LABELS


def test_batches_tell_good_from_bad(small, clips, tmp_path):
    paths = [str(p) for p in sorted(clips.glob('*.mp4'))]
    alone = [small(path)['predictions'][0] for path in paths]
    bad = [str(tmp_path / name) for name in ('empty.mp4', 'also.mp4')]
    for path in bad:
        open(path, 'w').close()
    mixed = [bad[0], *paths[:2], bad[1], *paths[2:]]
    for batch_size in 1, 2, 3, 6:
        results = list(small.predict(mixed, batch_size=batch_size,
                                     on_error='report'))
        assert [r['video'] for r in results] == mixed
        assert [r['video'] for r in results if 'error' in r] == bad
        assert set(results[0]) == {'video', 'error'}
        assert 'the file is empty' in results[0]['error']
        for ours, theirs in zip((r for r in results if 'scores' in r), alone):
            assert ours['labels'] == theirs['labels']
            np.testing.assert_allclose(ours['scores'], theirs['scores'],
                                       atol=1e-6)
    with pytest.raises(UserError, match='empty.mp4 cannot be read'):
        small(mixed, batch_size=2)
    vectors = list(small.embed(mixed, batch_size=3, on_error='report'))
    assert [v['video'] for v in vectors if 'error' in v] == bad


def test_labels_may_not_change_under_way(small, clips):
    for change in (['c', 'd'], ), (['a', 'b'], 'zebra {}'):
        results = small.predict(clips, labels=['a', 'b'])
        next(results)
        small.set_labels(*change)
        with pytest.raises(UserError, match='labels were changed'):
            list(results)


def test_words_that_the_model_does_not_know(small, clips, capfd):
    small(clips / 'clip_0.mp4', labels=['wrestling', LABELS[0], 'swimming'])
    small(clips / 'clip_0.mp4')
    log = ''.join(capfd.readouterr())
    assert log.count('wrestling, swimming') == 1 and 'red ring' not in log


@pytest.mark.parametrize('given, message', [
    (dict(topk=0), 'topk.*0'), (dict(batch_size=0), 'batch_size.*0'),
    (dict(threshold=1.5), 'threshold.*1.5'),
    (dict(on_error='no'), "on_error.*'no'"),
    (dict(num_views=0), 'num_views.*0'),
    (dict(num_views=(4, 2)), 'num_views.*2'),
    (dict(num_views=(4, )), 'num_views'), (dict(num_views=True), 'num_views'),
    (dict(num_views=10**7), 'num_views'), (dict(labels=[]), 'labels'),
    (dict(labels=['a', '']), 'empty'),
    (dict(labels=['a'], threshold=.5), 'one label'),
    (dict(labels=['word ' * 100, 'b']), 'context')])
def test_bad_arguments_before_anything_is_read(small, given, message):
    with pytest.raises((ValueError, UserError), match=message):
        small.predict(['absent'] if 'threshold' not in given else
                      np.zeros((1, 9, 9, 3), np.uint8), **given)
    assert small.class_names == LABELS


def windows_by_hand(window, stride) -> list:
    """Indices of the frames of each window, and its centre."""
    duration, windows, start = TOTAL / FPS, [], 0.
    while True:
        start = min(start, duration - window)
        frames = [min(int((start + (t + .5) * window / T) * FPS + 1e-6),
                      TOTAL - 1) for t in range(T)]
        windows.append((start + window / 2, frames))
        if start + window > duration - 1e-9:
            return windows
        start += stride


@pytest.mark.parametrize('window, stride', [(1., .5), (1.5, 1.1), (4., 2.),
                                            (.4, 1.2)])
def test_timeline(small, clips, window, stride, monkeypatch):
    monkeypatch.setattr('projects.vifi_clip.apis.windows._CHUNK', 7)
    path, expected = clips / 'clip_3.mp4', windows_by_hand(window, stride)
    timeline = small.timeline(path, window, stride)
    np.testing.assert_allclose(timeline.times, [time for time, _ in expected])
    assert timeline.labels == LABELS and timeline.window == window
    frames = read(path, sum((frames for _, frames in expected), []))
    images, texts = towers(small, frames, LABELS)
    videos = images.unflatten(0, (-1, T)).mean(1)
    np.testing.assert_allclose(timeline.scores, softmax(small, videos, texts),
                               atol=1e-5)


def test_ends_of_timelines(small, clips):
    path = clips / 'clip_3.mp4'
    timeline = small.timeline(path, 100, 50)
    assert timeline.window == TOTAL / FPS and timeline.times == [2.]
    assert timeline.scores.shape == (1, len(LABELS))
    array = small.timeline(read(path, [4, 4, 4]), 1, 1)
    assert array.window == 3 / 25  # arrays have 25 frames a second
    frames, texts = towers(small, read(path, [4]), LABELS)
    np.testing.assert_allclose(array.scores, softmax(small, frames, texts),
                               atol=1e-5)
    for bad in (0, 1), (1, -1), (float('nan'), 1), (.1, 1e-9), (1e-9, 1e-300):
        with pytest.raises((ValueError, UserError), match='above 0|windows'):
            small.timeline(path, *bad)


def test_windows_follow_the_frames_own_times(tmp_path, small):
    """A second of 20 frames, then five frames of a second each."""
    path = write_video(tmp_path / 'steps.mp4', count=25, times=[
        *range(0, 1000, 50), *range(1000, 6000, 1000)])
    windows = small.sampler.windows(VideoInput(path, path), 0.5, 0.5, 4)
    starts = windows.times - windows.window / 2
    assert ((windows.unique[windows.rows[:, 0]] >= 20)
            == (starts > 0.99)).all()
    assert windows.times[-1] > 4
    assert small.sample(path).times[-1] > 2


def test_descriptions_are_of_the_configs_classes(tmp_path):
    model = model_cfg(num_frames=4, data_preprocessor=PREPROCESSOR)
    path = tmp_path / 'sentences.json'
    path.write_text('{"cat": ["It purrs.", "It naps."], "dog": ["It barks."]}')
    model['cls_head']['text_classifier'].update(
        class_names=['cat', 'dog'], description_file=str(path))
    infer = ViFiCLIPInferencer(Config(dict(model=model, **CONFIG)),
                               device='cpu')
    own = infer.classifier().detach().clone()
    for labels, template, sentences in (
            (['cat', 'dog'], None, 3),
            (['cow', 'dog'], None, 2),  # used to fail: none for a cow
            (['cat', 'dog'], 'my {}', 2), (['cat', 'dog'], None, 3)):
        infer.set_labels(labels, template)
        assert len(infer.classifier.tokens) == sentences
        with pytest.raises(ValueError):
            infer.set_labels(['x ' * 100])
        assert infer.class_names == labels
    torch.testing.assert_close(infer.classifier().detach(), own)


def test_a_model_of_fixed_classes(clips):
    config = Config(dict(model=dict(
        type='Recognizer2D', backbone=dict(type='ResNet', depth=18),
        cls_head=dict(type='TSNHead', num_classes=3, in_channels=512,
                      average_clips='prob'),
        data_preprocessor=PREPROCESSOR), **CONFIG))
    infer = ViFiCLIPInferencer(config, device='cpu')
    result, = infer(clips / 'clip_0.mp4', topk=2)['predictions']
    assert len(result['labels']) == 2 and set(result['labels']) < {0, 1, 2}
    for call in (lambda: infer.set_labels(['a']), lambda: infer.embed(clips),
                 lambda: infer.class_names,
                 lambda: infer.frame_embeddings(np.zeros((1, 32, 32, 3)))):
        with pytest.raises(UserError, match='TSNHead.*no text_classifier'):
            call()
    with pytest.raises(ValueError, match='fixed set of classes'):
        ViFiCLIPInferencer(config, labels=['a', 'b'], device='cpu')


def test_the_small_world_is_recognised(small_inferencer):
    """Weights that ship with the package are trained ones."""
    params = WorldParams(train_per_class=0, test_per_class=1, num_stills=0)
    right = []
    for job in list_jobs(params):
        name = ' '.join(job.cls[:3])
        name = f'an {name}' if name.startswith('orange') else f'a {name}'
        if name in small_inferencer.class_names:
            result, = small_inferencer.predict(render_clip(job)[0], topk=1)
            right.append(result['label'] == name)
    assert len(right) == 24 and sum(right) >= 8  # by chance, 1


def test_every_difference_is_named(small):
    identity = Identity.of(small)
    moved = replace(identity, config='elsewhere.py', checkpoint='/b.pth')
    assert identity.differences(moved) == []
    for name, value in dict(fingerprint='0' * 64, embed_dim=3, num_frames=5,
                            num_views='2', inference=dict(precision='bf16'),
                            settings={**identity.settings,
                                      'fusion': 'other'}).items():
        said, = identity.differences(replace(identity, **{name: value}))
        shown = dict(fingerprint='weights', settings='fusion')
        assert said.startswith(shown.get(name, name))


def test_weights_and_labels(small):
    before, made = Identity.of(small), record(small, 1, config='a')
    small.set_labels(['other', 'labels'])
    assert Identity.of(small) == before  # where videos lie, stays
    scale = small.model.backbone.visual.proj
    value = scale.data.clone()
    try:
        scale.data.add_(1e-3)
        assert Identity.of(small).fingerprint != before.fingerprint
        other = record(small, (4, 3), config='b')
        assert [text.split()[:2] for text in differences(
            made, other, NOTES)] == [['weights:', repr(
                made['weights'][:12])], ['num_views:', '1'],
                ['other', 'pipeline']]
    finally:
        scale.data.copy_(value)
    assert record(small, 1, config='a') == made
    assert np.shape(made['pipeline'])  # plain values, as a file gives them
    assert json.loads(json.dumps(made)) == made
