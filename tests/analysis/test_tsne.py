"""``vifi-clip tsne`` on files of embeddings."""
import io
import json

import numpy as np
import pytest
from PIL import Image

from projects.vifi_clip_tools.tsne.cluster_scores import cluster_scores
from projects.vifi_clip_tools.embeddings.file import (Embeddings,
                                                      write_embeddings)
from projects.vifi_clip_tools.tsne.tsne_compare import align
from projects.vifi_clip_tools.tsne.figure import Panel, draw
from projects.vifi_clip_tools.tsne.tsne_layout import check_settings, layout
from projects.vifi_clip_tools.tsne.command import main

pytest.importorskip('sklearn')
LABELS = np.repeat([0, 1, 2], 12)


def _blobs(noise=0.1, seed=0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return (np.eye(6)[LABELS] + noise * draw.normal(size=(36, 6))).astype(
        np.float32)


def _file(noise=0.1, **changes) -> Embeddings:
    settings = dict(
        names=[f'{i}.mp4' for i in range(36)], embeddings=_blobs(noise),
        labels=LABELS, class_names=['ring', 'star', 'moon'])
    return Embeddings(**{**settings, **changes})


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / name) for name in ('clip.npz', 'vifi.npz')]
    for path, noise in zip(paths, (0.6, 0.1)):
        write_embeddings(path, _file(noise))
    return paths


def test_figure_table_and_json(files, tmp_path, capsys):
    out, notes = tmp_path / 'f.png', tmp_path / 'f.json'
    main([*files, '--out', str(out), '--json', str(notes), '--names',
          'CLIP, ViFi-CLIP'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['model', 'homogeneity', 'completeness',
                                'V-measure']
    assert lines[2].split() == ['ViFi-CLIP', '1.00', '1.00', '1.00']
    assert max(map(len, lines[:4])) <= 80
    models = json.loads(notes.read_text())['models']
    assert [m['name'] for m in models] == ['CLIP', 'ViFi-CLIP']
    expected = cluster_scores(_blobs(0.6), LABELS)
    assert models[0]['v_measure'] == expected.v_measure < 0.9
    with Image.open(out) as picture:
        assert picture.width > 1.5 * picture.height  # side by side


def test_neighbours_stay_neighbours_and_a_seed_repeats():
    places = layout(_blobs(), seed=3)
    np.testing.assert_array_equal(places, layout(_blobs(), seed=3))
    away = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(away, np.inf)
    assert (LABELS[away.argmin(1)] == LABELS).all()


def test_perplexity_follows_small_sets():
    assert check_settings(1000, 'x') == 30
    assert check_settings(31, 'x') == 10
    for value in 0.5, 36, 500:
        with pytest.raises(ValueError, match='below their number'):
            check_settings(36, 'x', perplexity=value)
    with pytest.raises(ValueError, match='4 videos'):
        check_settings(4, 'x')
    with pytest.raises(ValueError, match='setting of t-SNE'):
        check_settings(36, 'x', 'umap', perplexity=3)
    with pytest.raises(ValueError, match='from 2 to 35'):
        check_settings(36, 'x', 'umap', neighbours=36)


@pytest.mark.parametrize('suffix, start', [
    ('.png', b'\x89PNG'), ('.pdf', b'%PDF'), ('.svg', b'<?xml')])
def test_formats_repeat_byte_by_byte(suffix, start):
    panel = Panel('a $name', np.random.default_rng(0).normal(size=(36, 2)),
                  LABELS)
    made = draw([panel], ['_hidden', '$5', 'moon'], suffix, dpi=50)
    assert made.startswith(start)
    assert made == draw([panel], ['_hidden', '$5', 'moon'], suffix, dpi=50)
    if suffix == '.svg':
        for text in (b'a $name', b'_hidden', b'$5', b'moon'):
            assert b'>' + text + b'<' in made


def test_legend_up_to_twenty_classes():
    def svg(classes: int) -> bytes:
        labels = np.arange(classes).repeat(2)
        places = np.random.default_rng(0).normal(size=(len(labels), 2))
        return draw([Panel('x', places, labels)], suffix='.svg')

    assert b'>class 19<' in svg(20)
    assert b'>class ' not in svg(21)


def test_empty_places_of_a_second_row_are_blank():
    panel = Panel('x', np.random.default_rng(0).normal(size=(36, 2)),
                  np.arange(36))
    with Image.open(io.BytesIO(draw([panel] * 6, dpi=50))) as picture:
        pixels = np.asarray(picture.convert('L'))
    height, width = pixels.shape
    assert (pixels[height * 6 // 10:, width // 4:] == 255).all()
    assert (pixels[height * 6 // 10:, :width // 5] < 255).any()


def test_other_order_is_brought_in_line():
    back = _file().take(list(range(35, -1, -1)))
    one, two = align([_file(), back], ['a', 'b'])
    assert two.names == one.names
    np.testing.assert_array_equal(two.embeddings, one.embeddings)


def test_different_videos_need_common():
    less = _file().take(list(range(30)))
    with pytest.raises(ValueError, match='36 in a, 30 in b; 30 are in all.*'
                       '--common'):
        align([_file(), less], ['a', 'b'])
    one, two = align([_file(), less], ['a', 'b'], common=True)
    assert one.names == two.names == _file().names[:30]
    assert len(one.embeddings) == len(one.labels) == 30


@pytest.mark.parametrize('changes, message', [
    (dict(labels=None), 'b has no labels'),
    (dict(labels=LABELS[::-1]), '0.mp4 has label 0 in a and 2 in b'),
    (dict(class_names=['a', 'b', 'c']), 'name the classes differently'),
    (dict(names=['x'] * 36), 'videos of the same name'),
    (dict(names=[f'{i}.avi' for i in range(36)]), '0 are in all.*same list'),
])
def test_files_that_cannot_be_compared(changes, message):
    with pytest.raises(ValueError, match=message):
        align([_file(), _file(**changes)], ['a', 'b'])


@pytest.mark.parametrize('more, message', [
    (['--perplexity', '36'], 'below their number'),
    (['--names', 'only one'], '--names has 1 names for 2 panels'),
    (['--json', 'x.txt'], '--json writes a .json file'),
    (['--classes', 'a, b'], 'labels up to 2 and --classes 2 names'),
    (['--seed', '-1'], '--seed is a whole number'),
])
def test_bad_options(files, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        main([*files, '--out', str(tmp_path / 'f.png'), *more])
    assert not (tmp_path / 'f.png').exists()


def test_existing_picture_is_kept(files, tmp_path):
    (tmp_path / 'f.png').write_text('mine')
    with pytest.raises(ValueError, match='--overwrite'):
        main([*files, '--out', str(tmp_path / 'f.png')])
    assert (tmp_path / 'f.png').read_text() == 'mine'


def test_one_class(tmp_path):
    path = str(tmp_path / 'a.npz')
    write_embeddings(path, _file(labels=np.zeros(36, int)))
    with pytest.raises(ValueError, match='a.npz: all 36 videos are of one'):
        main([path, '--out', str(tmp_path / 'f.png')])
