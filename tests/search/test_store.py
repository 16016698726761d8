"""The store against numpy, and against what may befall it on disk."""
import os

import numpy as np
import pytest
from search_world import entries, make_index, unit

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.search.store import VideoIndex

RNG = np.random.default_rng(0)
NASTY = ["it's.mp4", "x'); DROP TABLE embeddings; --.mp4", "a' OR '1'='1",
         'back\\slash\\\'.mp4', '100%_"quoted".mp4', 'видео/猫 é😀.mp4',
         'new\nline.mp4']


def vectors(count, dim=16):
    return unit(RNG.standard_normal((count, dim)))


def check_against_numpy(index, table, topk=10, exact=False):
    """Compare names and cosines with a matrix product, of {name: vector}."""
    assert len(index) == len(table)
    names = list(table)
    for query in vectors(5):
        # its length does not matter
        hits = index.search(7 * query, topk, exact)
        scores = np.stack([table[name] for name in names]) @ query
        order = np.argsort(-scores)[:topk]
        assert [hit.path for hit in hits] == [names[i] for i in order]
        np.testing.assert_allclose([hit.similarity for hit in hits],
                                   scores[order], atol=1e-5)


def test_search_is_numpys_whatever_another_process_writes(tmp_path):
    def named(numbers):
        return [f'/v/{i} {NASTY[i % len(NASTY)]}' for i in numbers]

    def check(topk=10):
        check_against_numpy(reader, table, topk)
        writer.compact()  # drops the files that the reader knew
        check_against_numpy(reader, table, topk)
        assert set(reader.videos()) == set(table)

    writer = make_index(tmp_path / 'i', np.empty((0, 16)))
    reader, table = VideoIndex(writer.path), {}
    # an empty index can do everything
    assert len(reader) == 0 and reader.videos() == {}
    assert reader.search(np.ones(16)) == [] and reader.ann is None
    writer.remove(['x'])
    writer.compact()
    # one; more; 20 new ones and 20 that are there
    for names in named([0]), named(range(1, 60)), named(range(40, 80)):
        new = vectors(len(names))
        writer.add(entries(new, names))
        table.update(zip(names, new))
        check()
    gone = named([*range(7), 70, 99])  # the last is not there
    writer.remove(gone)
    table = {name: v for name, v in table.items() if name not in gone}
    check(topk=1000)
    os.rename(tmp_path / 'i', tmp_path / "it's elsewhere")
    check_against_numpy(VideoIndex(str(tmp_path / "it's elsewhere")), table)


def test_what_is_no_unit_embedding_is_refused_and_changes_nothing(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    good, other = vectors(1)[0], vectors(1, 8)[0]
    nan = np.full(16, np.nan)
    for bad in 2 * good, 0 * good, nan, other:
        with pytest.raises(ValueError):
            index.add(entries([good, bad], ['a', 'b']))
    assert set(index.videos()) == {'/v/0.mp4', '/v/1.mp4', '/v/2.mp4'}
    for query in 0 * good, nan, other:
        with pytest.raises(ValueError):
            index.search(query)


def test_one_process_writes_and_others_search(tmp_path):
    index = make_index(tmp_path / 'i', vectors(3))
    other = VideoIndex(index.path)
    with index.writing():
        with pytest.raises(UserError, match='another process'):
            other.add(entries(vectors(1), ['x']))
        assert len(other.search(np.ones(16))) == 3
        index.add(entries(vectors(1), ['x']))
    other.add(entries(vectors(1), ['y']))
    assert len(index) == 5


def test_a_damaged_index_says_so(tmp_path):
    index = make_index(tmp_path / 'i', vectors(300))
    data = next((tmp_path / 'i' / 'embeddings.lance' / 'data').iterdir())
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(UserError, match='index the videos again'):
        VideoIndex(index.path).search(np.ones(16))


@pytest.mark.parametrize('content', [
    None, '{}', '{"kind": "something"}',
    '{"kind": "vifi_clip search index", "format": 2, "identity": {}}',
    '{"kind": "vifi_clip search index", "format": 1}'])
def test_other_folders_are_refused_and_stay_as_they_are(tmp_path, content):
    for path in tmp_path / 'none', tmp_path:  # absent, and empty
        with pytest.raises(FileNotFoundError):
            VideoIndex(str(path))
    path = tmp_path / 'photos'
    if content is None:
        path.write_text('precious')
    else:
        path.mkdir()
        (path / 'index.json').write_text(content)
    with pytest.raises((ValueError, UserError), match='photos'):
        VideoIndex(str(path))
    with pytest.raises(OSError):
        make_index(path, np.empty((0, 4)))
    file = path / 'index.json' if content else path
    assert file.read_text() == (content or 'precious')


def test_the_approximate_index(tmp_path):
    first = vectors(600)
    index = make_index(tmp_path / 'i', first)
    table = {f'/v/{i}.mp4': vector for i, vector in enumerate(first)}
    index.build_ann('IVF_FLAT')
    assert VideoIndex(index.path).ann == 'IVF_FLAT'
    late = vectors(3)  # added after it was built, and replaced
    index.add(entries(late, ['new', '/v/7.mp4', '/v/8.mp4']))
    table.update(zip(['new', '/v/7.mp4', '/v/8.mp4'], late))
    for name in 'new', '/v/7.mp4', '/v/500.mp4':
        hit = index.search(table[name], 1)[0]
        assert hit.path == name and abs(hit.similarity - 1) < 1e-5
    check_against_numpy(index, table, exact=True)
    query = vectors(1)[0]
    # what it finds, it scores right
    for hit in index.search(query, 10):
        assert abs(hit.similarity - table[hit.path] @ query) < 1e-5
