"""Scores of clusters against entropies by hand; ``vifi-clip tsne``."""
import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from commands import refused, vifi
from helpers import write_mp4

from projects.vifi_clip_tools.embeddings.file import (Embeddings,
                                                      write_embeddings)
from projects.vifi_clip_tools.tsne.figure import (Panel, _styles,
                                                  cluster_scores, draw, layout,
                                                  unit_length)
from projects.vifi_clip_tools.tsne.report import align

pytest.importorskip('sklearn')
LABELS = np.repeat([0, 1, 2], 12)


def _blobs(noise=0.1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.eye(6)[LABELS] + noise * rng.normal(size=(36, 6))).astype(
        np.float32)


def _file(noise=0.1, **changes) -> Embeddings:
    file = Embeddings([f'{i}.mp4' for i in range(36)], _blobs(noise), LABELS,
                      ['ring', 'star', 'moon'])
    return replace(file, **changes)


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / name) for name in ('clip.npz', 'vifi.npz')]
    for path, noise in zip(paths, (0.6, 0.1)):
        write_embeddings(path, _file(noise))
    return paths


def _entropy(counts) -> float:
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts)


def _one_minus(of, given) -> float:
    """1 - H(of | given) / H(of), from the definition."""
    total = 0.
    for value in set(given):
        part = [a for a, b in zip(of, given) if b == value]
        total += len(part) / len(of) * _entropy(Counter(part).values())
    return 1 - total / _entropy(Counter(of).values())


def test_scores_against_entropies():
    """Blobs far apart, so that the clusters are known; labels that differ."""
    rng = np.random.default_rng(0)
    blobs = np.repeat([0, 1, 2], [10, 14, 6])
    lengths = rng.uniform(0.01, 100, size=(30, 1))  # directions count
    vectors = lengths * (np.eye(8)[blobs] + 0.01 * rng.normal(size=(30, 8)))
    labels = blobs.copy()
    labels[[0, 1, 12, 27]] = [1, 2, 0, 1]
    scores = cluster_scores(vectors, labels + 5)  # gaps in labels are fine
    labels, blobs = labels.tolist(), blobs.tolist()
    h, c = _one_minus(labels, blobs), _one_minus(blobs, labels)
    assert (scores.homogeneity, scores.completeness, scores.v_measure
            ) == pytest.approx((h, c, 2 * h * c / (h + c)), abs=1e-9)
    assert h != pytest.approx(c, abs=1e-3)
    assert (scores.num_videos, scores.num_classes) == (30, 3)
    with pytest.raises(ValueError, match='embedding 1'):
        unit_length(np.array([[1., 0], [0, 0]]))


def test_figure_table_and_json(files, tmp_path, capsys):
    out, notes = tmp_path / 'f.png', tmp_path / 'f.json'
    argv = ['tsne', *files, '--out', out, '--json', notes, '--names',
            'CLIP, ViFi-CLIP']
    assert vifi(*argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ['ViFi-CLIP', '1.00', '1.00', '1.00']
    models = json.loads(notes.read_text())['models']
    assert [m['name'] for m in models] == ['CLIP', 'ViFi-CLIP']
    expected = cluster_scores(_blobs(0.6), LABELS)
    assert models[0]['v_measure'] == expected.v_measure < 0.9
    refused(capsys, *argv, names=['--out', '--overwrite'])
    capsys.readouterr()
    assert vifi('tsne', *files, '--out', tmp_path / 'g.png', '--names',
                'CLIP, ViFi-CLIP', '--json') == 0
    assert json.loads(capsys.readouterr().out)['models'] == models


def test_a_list_is_embedded_with_each_model(tmp_path):
    for i in range(6):
        write_mp4(tmp_path / f'{i}.mp4', 4 + i, (64, 64))
    (tmp_path / 'list.txt').write_text(
        ''.join(f'{i}.mp4 {i % 2}\n' for i in range(6)))
    assert vifi('tsne', tmp_path / 'list.txt', '--root', tmp_path, '--out',
                tmp_path / 'f.svg', '--json', tmp_path / 'f.json', '--config',
                'small_world', '--checkpoint', 'none', '--device', 'cpu') == 0
    model, = json.loads((tmp_path / 'f.json').read_text())['models']
    made = tmp_path / 'f_embeddings' / '1_small_world_none.npz'
    assert model['file'] == str(made) and made.is_file()
    assert model['record']['checkpoint'] == 'none'


def test_neighbours_stay_neighbours_and_a_seed_repeats():
    places, _ = layout(_blobs(), 'x', seed=3)
    np.testing.assert_array_equal(places, layout(_blobs(), 'x', seed=3)[0])
    away = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(away, np.inf)
    assert (LABELS[away.argmin(1)] == LABELS).all()
    assert layout(_blobs()[:31], 'x')[1] == 10  # of few, fewer neighbours
    for number, *args in [(36, 'tsne', 0, 36), (4, ), (36, 'umap', 0, 36)]:
        with pytest.raises(ValueError, match='x'):
            layout(_blobs()[:number], 'x', *args)


@pytest.mark.parametrize('suffix, start', [
    ('.png', b'\x89PNG'), ('.pdf', b'%PDF'), ('.svg', b'<?xml')])
def test_formats_repeat_byte_by_byte(suffix, start):
    panel = Panel('a $name', np.random.default_rng(0).normal(size=(36, 2)),
                  LABELS)
    made, again = (draw([panel], ['_hidden', '$5', 'moon'], suffix, dpi=50)
                   for _ in range(2))
    assert made.startswith(start) and made == again
    if suffix == '.svg':  # no mathematics, and no name left out
        for text in (b'a $name', b'_hidden', b'$5', b'moon'):
            assert b'>' + text + b'<' in made


def test_a_legend_tells_24_classes_apart():
    panel = Panel('', np.arange(48.).reshape(24, 2), np.arange(24))
    figures = [draw([panel], [f'{i:02d}th' for i in range(24)], '.svg'),
               draw([replace(panel, places=np.zeros((41, 2)),
                             labels=np.arange(41))],
                    [f'{i:02d}th' for i in range(41)], '.svg')]
    named = [figure.decode().count('th</text>') for figure in figures]
    assert named == [24, 0]
    styles = [(tuple(colour), mark) for colour, mark in _styles(24)]
    assert len(set(styles)) == 24


def test_files_are_brought_in_line():
    back = _file().take(list(range(35, -1, -1)))
    one, two = align([_file(), back], ['a', 'b'])
    assert two.names == one.names
    np.testing.assert_array_equal(two.embeddings, one.embeddings)
    less = _file().take(list(range(30)))
    one, two = align([_file(), less], ['a', 'b'], common=True)
    assert one.names == two.names == _file().names[:30]
    assert len(one.embeddings) == len(one.labels) == 30


@pytest.mark.parametrize('changes', [
    dict(labels=None),
    dict(labels=LABELS[::-1]),
    dict(class_names=['a', 'b', 'c']),
    dict(names=['x'] * 36),
    dict(names=[f'{i}.avi' for i in range(36)])])
def test_files_that_cannot_be_compared(changes):
    with pytest.raises(ValueError, match='b.npz'):
        align([_file(), _file(**changes)], ['a.npz', 'b.npz'])
    for labels in np.zeros(36, int), np.arange(36):  # without clusters
        with pytest.raises(ValueError, match='only.npz'):
            align([_file(labels=labels, class_names=None)], ['only.npz'])


@pytest.mark.parametrize('more, names', [
    (['--perplexity', '36'], '--perplexity'),
    (['--method', 'umap', '--perplexity', '3'], '--perplexity'),
    (['--neighbors', '3'], '--neighbors'),
    (['--names', 'only one'], '--names'),
    (['--json', 'x.txt'], '--json'),
    (['--classes', 'a, b'], '--classes'),
    (['--checkpoint', 'none'], '--checkpoint')])
def test_bad_options(files, tmp_path, capsys, more, names):
    refused(capsys, 'tsne', *files, '--out', tmp_path / 'f.png', *more,
            names=names)
    assert not (tmp_path / 'f.png').exists()
