"""Files of embeddings: what goes in comes out, and foreign files do not."""
import numpy as np
import pytest

from projects.vifi_clip_tools.embeddings.file import (Embeddings,
                                                      read_embeddings,
                                                      write_embeddings)

GOOD = dict(names=np.array(['a', 'b']), embeddings=np.eye(2))


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
    lambda path: path.write_bytes(b''),
    lambda path: np.save(path.open('wb'), np.ones(3)),
    _cut,
    _npz(a=np.ones(3)),
    _npz(names=np.array([{}]), embeddings=np.eye(1)),
    _npz(**{**GOOD, 'embeddings': np.ones((3, 2))}),
    _npz(**{**GOOD, 'embeddings': np.array([1, 2])}),
    _npz(**{**GOOD, 'embeddings': np.array([[1.], [np.nan]])}),
    _npz(**GOOD, labels=np.array([1])),
    _npz(**GOOD, labels=np.array([0, 2]), class_names=np.array(['x', 'y'])),
])
def test_foreign_npz_is_refused(tmp_path, write):
    path = tmp_path / 'e.npz'
    write(path)
    with pytest.raises(ValueError, match=str(path)):
        read_embeddings(str(path))
