"""Embedding a list: labels, order, bad videos and stops; tests/run has several
processes. Files of embeddings: what goes in comes out."""
import numpy as np
import pytest
from commands import refused, vifi
from helpers import write_mp4

from projects.vifi_clip_tools.embeddings.file import (Embeddings,
                                                      read_embeddings,
                                                      write_embeddings)
from projects.vifi_clip_tools.embeddings.job import (embed_videos, gathered,
                                                     read_videos)

NUMBER = 7
MODEL = ('--config', 'small_world', '--device', 'cpu')
GOOD = dict(names=np.array(['a', 'b']), embeddings=np.eye(2))


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp('clips')
    for i in range(NUMBER):
        frames = np.full((8, 64, 64, 3), 30 * i, np.uint8)
        frames[:, 8:40, 8:40, i % 3] = 250
        write_mp4(root / f'{i}.mp4', frames=list(frames))
    lines = [f'{i}.mp4 {i % 2}\n' for i in range(NUMBER)]
    (root / 'list.txt').write_text(''.join(lines))
    return root


@pytest.fixture
def videos(clips):
    return read_videos([str(clips / 'list.txt')], str(clips))


class Counting:
    """The inferencer, with a count, and a stop after some videos."""

    def __init__(self, real, stop_after=None):
        self.model, self.cfg = real.model, real.cfg
        self.real, self.stop_after, self.seen = real, stop_after, []

    def embed(self, videos, **kwargs):
        for result in self.real.embed(videos, **kwargs):
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(result['video'])
            yield result


def test_names_labels_order_and_record(small_inferencer, clips, tmp_path):
    out = tmp_path / 'e.npz'
    assert vifi('embed', clips / 'list.txt', '--root', clips, '--classes',
                'even, odd', '--out', out, '--batch-size', 3, *MODEL) == 0
    made = read_embeddings(str(out))
    assert made.names == [f'{i}.mp4' for i in range(NUMBER)]
    for name, embedding in zip(made.names, made.embeddings):
        alone = next(small_inferencer.embed(str(clips / name)))['embedding']
        np.testing.assert_allclose(embedding, alone, atol=1e-5)
    assert made.labels.tolist() == [i % 2 for i in range(NUMBER)]
    assert made.class_names == ['even', 'odd']
    assert len(np.unique(made.embeddings.round(4), axis=0)) == NUMBER
    assert len(made.record.pop('weights')) == 64
    assert dict(config='small_world', checkpoint=None, inference={},
                num_views=1, num_frames=small_inferencer.num_frames
                ).items() <= made.record.items()
    assert not (tmp_path / 'e.npz.parts').exists()
    assert read_videos([str(clips)]).labels is None  # a folder


def test_a_stop_loses_nothing_and_the_same_call_goes_on(
        small_inferencer, videos, tmp_path):
    out = str(tmp_path / 'e.npz')
    embed_videos(small_inferencer, videos, str(tmp_path / 'whole.npz'))
    again = Counting(small_inferencer)
    for count in 3, 2:
        with pytest.raises(KeyboardInterrupt):
            embed_videos(Counting(small_inferencer, count), videos, out)
    # a machine that went down while it wrote
    (tmp_path / 'e.npz.parts' / '00000003.npz').write_bytes(b'PK')
    embed_videos(again, videos, out)
    assert again.seen == ['3.mp4', '4.mp4', '5.mp4', '6.mp4']
    assert (tmp_path / 'e.npz').read_bytes() == (
        tmp_path / 'whole.npz').read_bytes()


def test_results_are_passed_on_often():
    assert list(gathered(range(5), 2, 60.)) == [[0, 1], [2, 3], [4]]
    assert list(gathered(range(3), 9, 0.)) == [[0], [1], [2]]


def test_other_settings_or_lists_are_not_mixed(small_inferencer, clips,
                                               videos, tmp_path):
    out = str(tmp_path / 'e.npz')
    with pytest.raises(KeyboardInterrupt):
        embed_videos(Counting(small_inferencer, 3), videos, out)
    with pytest.raises(ValueError, match='num_views'):
        embed_videos(small_inferencer, videos, out, num_views=2)
    bias = small_inferencer.model.backbone.visual.ln_post.bias
    bias.data += 1
    try:
        with pytest.raises(ValueError, match='weights'):
            embed_videos(small_inferencer, videos, out)
    finally:
        bias.data -= 1
    fewer = read_videos([str(clips / '0.mp4'), str(clips / '1.mp4')])
    with pytest.raises(ValueError, match='list'):
        embed_videos(small_inferencer, fewer, out)
    assert len(embed_videos(small_inferencer, fewer, out,
                            overwrite=True)) == 2
    with pytest.raises(ValueError, match='list'):
        embed_videos(small_inferencer, videos, out)
    none = Counting(small_inferencer)
    embed_videos(none, fewer, out)  # complete: nothing to do
    assert none.seen == []


def test_foreign_files_are_left_alone(small_inferencer, videos, tmp_path,
                                      capsys):
    out, mine = tmp_path / 'e.npz', tmp_path / 'e.npz.parts' / 'mine.txt'
    mine.parent.mkdir()
    mine.write_text('x')
    for overwrite in False, True:
        with pytest.raises(ValueError, match='mine.txt'):
            embed_videos(small_inferencer, videos, str(out),
                         overwrite=overwrite)
    assert mine.read_text() == 'x'
    out.write_text('mine')
    refused(capsys, 'embed', tmp_path, '--out', out, *MODEL, names='e.npz')
    assert out.read_text() == 'mine'


def test_bad_video_is_named_and_tried_again(clips, tmp_path, capsys):
    path, out = tmp_path / 'l.txt', tmp_path / 'e.npz'
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    refused(capsys, 'embed', bad, '--out', out, *MODEL, names='bad.mp4')
    assert [p.name for p in tmp_path.iterdir()] == ['bad.mp4']
    path.write_text(f'{clips}/0.mp4 0\n{bad} 1\n{clips}/1.mp4 1\n'
                    f'{clips}/0.mp4 1\n')  # one file twice
    argv = ['embed', path, '--out', out, *MODEL]
    assert vifi(*argv) == 1
    assert str(bad) in capsys.readouterr().err
    made = read_embeddings(str(out))
    assert made.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(made.embeddings[0], made.embeddings[2])
    assert [(f['index'], f['video']) for f in made.failed] == [(1, str(bad))]
    assert vifi(*argv, '--allow-bad') == 0
    bad.write_bytes((clips / '2.mp4').read_bytes())
    assert vifi(*argv) == 0
    made = read_embeddings(str(out))
    assert made.failed == [] and made.labels.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize('argv, names', [
    (['list.txt', '--root', 'nowhere'], ['--root', 'nowhere']),
    (['list.txt', '--root', '.', '--classes', 'one'], 'list.txt'),
    (['.', '--root', '.'], '--root'),
    (['list.txt', '.'], 'list.txt'),
    (['none.txt'], 'none.txt'),
    (['.', '--out', 'e.csv'], '--out')])
def test_bad_input(clips, tmp_path, monkeypatch, capsys, argv, names):
    monkeypatch.chdir(clips)
    refused(capsys, 'embed', '--out', tmp_path / 'e.npz', *argv, '--config',
            'small_world', names=names)


def _some(labels=True) -> Embeddings:
    given = np.array([1, 0, 1]), ['arm wrestling', 'zumba']
    vectors = np.random.default_rng(0).normal(size=(3, 4))
    return Embeddings(
        ['a/ü b.mp4', '$x.avi', 'c'], vectors.astype(np.float32),
        *(given if labels else (None, None)),
        [dict(index=1, video='bad.mp4', error='no frames')],
        dict(config='vifi_k400', num_views=[4, 3], weights='ab'))


@pytest.mark.parametrize('suffix', ['npz', 'parquet'])
@pytest.mark.parametrize('labels', [True, False])
def test_round_trip(tmp_path, suffix, labels):
    if suffix == 'parquet':
        parquet = pytest.importorskip('pyarrow.parquet')
    path, put = str(tmp_path / f'e.{suffix}'), _some(labels)
    write_embeddings(path, put)
    if suffix == 'npz':  # numpy alone reads it, too
        with np.load(path, allow_pickle=False) as file:
            assert file['names'].tolist() == put.names
            assert ('labels' in file.files) == labels
    else:
        table = parquet.read_table(path)
        assert table.column_names == ['name', *['label'] * labels, 'embedding']
        assert table['name'].to_pylist() == put.names
        np.testing.assert_array_equal(table['embedding'].to_pylist(),
                                      put.embeddings)
    got = read_embeddings(path)
    for field in 'names', 'class_names', 'failed', 'record':
        assert getattr(got, field) == getattr(put, field)
    assert got.embeddings.dtype == np.float32
    np.testing.assert_array_equal(got.embeddings, put.embeddings)
    np.testing.assert_array_equal(got.labels, put.labels)


def test_parquet_of_another_tool(tmp_path):
    pa = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    path, names = tmp_path / 'e.parquet', dict(name=['a', 'b'])
    parquet.write_table(
        pa.table(dict(names, embedding=[[1., 2.], [3., 4.]])), path)
    assert read_embeddings(str(path)).embeddings.tolist() == [[1, 2], [3, 4]]
    for columns in dict(names, embedding=[[1., 2.], [3.]]), names:
        parquet.write_table(pa.table(columns), path)
        with pytest.raises(ValueError, match=str(path)):
            read_embeddings(str(path))


def _npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def _cut(path):
    write_embeddings(str(path), _some())
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize('write', [
    lambda path: path.write_text('hello'),
    _cut,
    _npz(a=np.ones(3)),
    _npz(names=np.array([{}]), embeddings=np.eye(1)),
    _npz(**{**GOOD, 'embeddings': np.ones((3, 2))}),
    _npz(**{**GOOD, 'embeddings': np.array([1, 2])}),
    _npz(**{**GOOD, 'embeddings': np.array([[1.], [np.nan]])}),
    _npz(**GOOD, labels=np.array([1])),
    _npz(**GOOD, labels=np.array([0, 2]), class_names=np.array(['x', 'y'])),
    *(_npz(**GOOD, **{name: np.array(text)}) for name, text in (
        ('record', '3'), ('record', '[' * 10**5), ('failed', '3'),
        ('failed', '[3]'), ('failed', '[{"index": "0"}]'),
        ('failed', '[{"index": 3}]'))),
])
def test_foreign_npz_is_refused(tmp_path, write):
    path = tmp_path / 'e.npz'
    write(path)
    with pytest.raises(ValueError, match=str(path)):
        read_embeddings(str(path))
