"""The store against numpy, and against what may befall it on disk."""
import os
import subprocess
import sys

import numpy as np
import pytest
from search_world import entries, identity, make_index, unit

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.search.rows import Entry, State
from projects.vifi_clip_tools.search.store import VideoIndex
from projects.vifi_clip_tools.search import nearest

RNG = np.random.default_rng(0)
NASTY = ["it's.mp4", "x'); DROP TABLE embeddings; --.mp4", "a' OR '1'='1",
         'back\\slash\\\'.mp4', '100%_"quoted".mp4', 'видео/猫 é😀.mp4',
         'new\nline.mp4']


def vectors(count, dim=16):
    return unit(RNG.standard_normal((count, dim)))


def best(table, query, topk):
    """Names and cosines by a matrix product, from {name: vector}."""
    names = list(table)
    scores = np.stack([table[name] for name in names]) @ query
    order = np.argsort(-scores)[:topk]
    return [names[i] for i in order], scores[order]


def check_against_numpy(index, table, topk=10):
    assert len(index) == len(table)
    for query in vectors(5):
        hits = index.search(7 * query, topk)  # its length does not matter
        names, scores = best(table, query, topk)
        assert [hit.path for hit in hits] == names
        np.testing.assert_allclose([hit.similarity for hit in hits], scores,
                                   atol=1e-5)


def test_search_is_numpys_after_adds_replacements_and_removals(tmp_path):
    first = vectors(60)
    names = [f'/v/{i}.mp4' for i in range(60)]
    index = make_index(tmp_path / 'i', first, names)
    table = dict(zip(names, first))
    check_against_numpy(index, table)
    more = vectors(40)  # 20 new ones, 20 that are there
    names = [f'/v/{i}.mp4' for i in range(40, 80)]
    index.add(entries(more, names))
    table.update(zip(names, more))
    check_against_numpy(index, table)
    gone = ['/v/3.mp4', '/v/70.mp4', '/v/not-there.mp4']
    index.remove(gone)
    table = {name: v for name, v in table.items() if name not in gone}
    check_against_numpy(index, table)
    index.compact()
    check_against_numpy(index, table, topk=1000)
    check_against_numpy(VideoIndex(index.path), table)


def test_a_video_gets_other_windows_in_one_commit(tmp_path):
    index = make_index(tmp_path / 'i', vectors(2))
    three = vectors(3)
    spans = [(0., 2.), (2., 4.), (4., 6.)]
    index.add([Entry('/v/0.mp4', State(5, 6, 2.), three, spans)])
    assert len(index) == 4
    hits = [index.search(v, 1)[0] for v in three]
    assert [(hit.path, hit.start, hit.end) for hit in hits] == [
        ('/v/0.mp4', *span) for span in spans]
    before = index._open().version
    index.add([Entry('/v/0.mp4', State(7, 8, None), three[:1])])
    assert index._open().version == before + 1
    assert len(index) == 2
    assert index.videos() == {'/v/0.mp4': State(7, 8, None),
                              '/v/1.mp4': State(1, 2, None)}
    assert index.search(three[0], 1)[0][:3] == ('/v/0.mp4', None, None)


@pytest.mark.parametrize('name', NASTY)
def test_names_are_names_and_no_sql(tmp_path, name):
    names = ['/v/plain.mp4', *NASTY]
    table = dict(zip(names, vectors(len(names))))
    index = make_index(tmp_path / 'i', np.stack(list(table.values())), names)
    table[name] = vectors(1)[0]
    index.add(entries([table[name]], [name]))
    check_against_numpy(index, table)
    index.remove([name])
    del table[name]
    assert set(index.videos()) == set(table)


def test_what_is_no_unit_embedding_is_refused_and_changes_nothing(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    good = vectors(1)[0]
    nan = good.copy()
    nan[0] = np.nan
    for bad in 2 * good, 0 * good, nan:
        with pytest.raises(ValueError, match='1 of 2 .* unit length'):
            index.add(entries([good, bad], ['a', 'b']))
    with pytest.raises(ValueError, match=r'b: .* \(1, 8\), not \(1, 16\)'):
        index.add(entries([good, vectors(1, 8)[0]], ['a', 'b']))
    with pytest.raises(ValueError, match='twice'):
        index.add(entries([good, good], ['a', 'a']))
    assert set(index.videos()) == {'/v/0.mp4', '/v/1.mp4', '/v/2.mp4'}


def test_bad_queries_are_refused(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    with pytest.raises(ValueError, match='16 numbers, the query 8'):
        index.search(np.ones(8))
    for bad in np.zeros(16), np.full(16, np.nan):
        with pytest.raises(ValueError, match='no direction'):
            index.search(bad)
    with pytest.raises(ValueError, match='topk must be at least 1, got 0'):
        index.search(np.ones(16), 0)


def test_an_empty_index_finds_nothing(tmp_path):
    index = VideoIndex.create(str(tmp_path / 'i'), identity(4))
    assert len(index) == 0 and index.videos() == {}
    assert index.search(np.ones(4)) == [] and index.ann is None
    index.remove(['x'])
    index.compact()


def test_a_reader_sees_what_others_write_and_compact(tmp_path):
    writer = VideoIndex.create(str(tmp_path / 'i'), identity(16))
    reader = VideoIndex(writer.path)
    assert reader.search(vectors(1)[0]) == []
    table = {}
    for i in range(4):
        table[f'{i}'] = vectors(1)[0]
        writer.add(entries([table[f'{i}']], [f'{i}']))
        check_against_numpy(reader, table)
        writer.compact()  # drops the files that the reader knew
        check_against_numpy(reader, table)


def test_one_process_writes_and_others_search(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    other = VideoIndex(index.path)
    with index.writing():
        with pytest.raises(UserError, match=f'process {os.getpid()} is writ'):
            other.add(entries(vectors(1), ['x']))
        assert len(other.search(np.ones(16))) == 3
        index.add(entries(vectors(1), ['x']))
    other.add(entries(vectors(1), ['y']))
    assert len(index) == 5


def test_a_killed_writer_leaves_no_lock(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    code = ('import fcntl, os, signal, sys; f = open(sys.argv[1], "a+"); '
            'fcntl.flock(f, fcntl.LOCK_EX); f.write("process 1"); f.flush(); '
            'os.kill(os.getpid(), signal.SIGKILL)')
    lock = os.path.join(index.path, 'index.lock')
    done = subprocess.run([sys.executable, '-c', code, lock])
    assert done.returncode == -9
    index.add(entries(vectors(1), ['x']))
    assert len(index) == 4


def test_a_damaged_index_says_so(tmp_path):
    index = make_index(tmp_path / 'i', vectors(300))
    data = next((tmp_path / 'i' / 'embeddings.lance' / 'data').iterdir())
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(UserError, match='cannot be read.*index the videos'):
        VideoIndex(index.path).search(np.ones(16))


def test_other_folders_are_refused_and_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match='no search index at .*none'):
        VideoIndex(str(tmp_path / 'none'))
    with pytest.raises(FileNotFoundError, match='vifi-clip index FOLDER'):
        VideoIndex(str(tmp_path))  # empty
    other = tmp_path / 'photos'
    other.mkdir()
    (other / 'index.json').write_text('{"kind": "something"}')
    (tmp_path / 'file').write_text('precious')
    for path in other, tmp_path / 'file':
        with pytest.raises(ValueError, match='is no search index'):
            VideoIndex(str(path))
        with pytest.raises(OSError):
            VideoIndex.create(str(path), identity(4))
    assert os.listdir(other) == ['index.json']
    assert (other / 'index.json').read_text() == '{"kind": "something"}'
    assert (tmp_path / 'file').read_text() == 'precious'


def test_an_index_of_a_later_version_is_refused(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    record = tmp_path / 'i' / 'index.json'
    record.write_text(record.read_text().replace('"format": 1',
                                                 '"format": 2'))
    with pytest.raises(ValueError, match='format 2 and this version reads 1'):
        VideoIndex(index.path)


def test_a_moved_index_is_the_same(tmp_path):
    table = {f'{i}': v for i, v in enumerate(vectors(5))}
    make_index(tmp_path / 'i', np.stack(list(table.values())), list(table))
    os.rename(tmp_path / 'i', tmp_path / "it's elsewhere")
    check_against_numpy(VideoIndex(str(tmp_path / "it's elsewhere")), table)


def test_the_approximate_index(tmp_path, monkeypatch):
    index = make_index(tmp_path / 'i', vectors(600))
    with pytest.raises(ValueError, match='600 .* exactly .* 50000 and more'):
        index.build_ann()
    monkeypatch.setattr(nearest, 'MIN_ROWS', 100)
    with pytest.raises(ValueError, match="'HNSW' is none of IVF_PQ, IVF_F"):
        index.build_ann('HNSW')
    table = {f'/v/{i}.mp4': v for i, v in enumerate(
        index._open().to_arrow().column('vector').to_numpy())}
    index.build_ann('IVF_FLAT')
    assert VideoIndex(index.path).ann == 'IVF_FLAT'
    late = vectors(3)  # added after it was built, and replaced
    index.add(entries(late, ['new', '/v/7.mp4', '/v/8.mp4']))
    table.update(zip(['new', '/v/7.mp4', '/v/8.mp4'], late))
    for name in 'new', '/v/7.mp4', '/v/500.mp4':
        hit = index.search(table[name], 1)[0]
        assert hit.path == name and abs(hit.similarity - 1) < 1e-5
    query = vectors(1)[0]
    names, scores = best(table, query, 10)
    hits = index.search(query, 10, exact=True)
    assert [hit.path for hit in hits] == names
    # what it finds, it scores right
    for hit in index.search(query, 10):
        assert abs(hit.similarity - table[hit.path] @ query) < 1e-5
