"""The store against numpy, and against what may befall it on disk; vifi-clip
index and vifi-clip search, as they are typed."""
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from commands import refused, vifi
from helpers import write_mp4
from PIL import Image

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_configs.shipped import find_here as find_config
from projects.vifi_clip_tools.search.store import Entry, State, VideoIndex

RNG = np.random.default_rng(0)
NASTY = ["it's.mp4", "x'); DROP TABLE embeddings; --.mp4", "a' OR '1'='1",
         'back\\slash\\\'.mp4', '100%_"quoted".mp4', 'видео/猫 é😀.mp4',
         'new\nline.mp4']
MODEL = ('--config', 'small_world', '--device', 'cpu')


def entries(vectors, names=None):
    """One entry for each vector [N, D], of videos /v/0.mp4, /v/1.mp4 ..."""
    names = names or [f'/v/{i}.mp4' for i in range(len(vectors))]
    return [Entry(name, State(1, 2, None), vector[None])
            for name, vector in zip(names, vectors)]


def make_index(path, vectors, names=None) -> VideoIndex:
    """An index of N videos with embeddings [N, D]."""
    index = VideoIndex.create(str(path), Identity(
        'some_config', None, '0' * 64, vectors.shape[1], 2))
    if len(vectors):
        index.add(entries(vectors, names))
    return index


def vectors(count, dim=16):
    """Vectors [N, D] of length 1."""
    values = RNG.standard_normal((count, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


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


def test_what_a_killed_writer_left_goes(tmp_path):
    """Files that no version has; the others stay."""
    index = make_index(tmp_path / 'i', vectors(3))
    index.compact()
    before = sorted(tmp_path.glob('i/*/data/*'))
    left = before[0].with_name('0' * 40 + before[0].suffix)
    left.write_bytes(before[0].read_bytes()[:1000])
    index.compact()
    assert sorted(tmp_path.glob('i/*/data/*')) == before
    assert len(index.videos()) == 3


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


@pytest.mark.parametrize('column, values', [
    ('path', pa.array([3, 4])), ('start', pa.array(['a', 'b'])),
    ('path', pa.array([None, '/v/a.mp4'])), ('vector', pa.array([[1.], [2.]])),
    *((column, pa.array([value, 1.5])) for column, value in (
        ('start', np.nan), ('start', -1.), ('start', 5.), ('end', np.inf),
        ('end', None)))])
def test_rows_of_other_kinds_are_no_hits(tmp_path, column, values):
    """They may be anybody's."""
    index = make_index(tmp_path / 'i', np.empty((0, 2)))
    spans = ((0., 2.), (1., 2.))
    index.add([Entry('/v/a.mp4', State(1, 2, 3.), np.eye(2), spans)])
    assert [hit[1:3] for hit in index.search([1, 0])] == list(spans)
    table = index._open().to_arrow()
    index._db.create_table('embeddings', table.set_column(
        table.column_names.index(column), column, values), mode='overwrite')
    with pytest.raises(UserError, match='cannot be read'):
        index.search([1, 0])


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


# Commands


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Clips in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'clips'
    folder.mkdir()
    for colour, rgb in zip(('red', 'green', 'blue'), 255 * np.eye(3)):
        write_mp4(folder / f"{colour}'s.mp4",
                  frames=10 * [np.full((64, 64, 3), rgb, np.uint8)])
    return folder


def test_index_then_search(clips, small_inferencer, capsys):
    (clips / 'bad.mp4').write_bytes(b'no video')
    assert vifi('index', 'clips', *MODEL) == 1
    said = capsys.readouterr()
    assert '3 added, 0 changed, 0 unchanged, 1 failed' in said.out
    assert 'bad.mp4\n  ' in said.err
    os.remove(clips / 'bad.mp4')
    search = ['search', 'a red ring spinning', 'a star', '--topk', 2,
              '--json', 'a.json', '--sheet', 'out/a.png', '--device', 'cpu']
    assert vifi(*search) == 0
    with open('a.json') as file:
        found = json.load(file)['queries']
    assert [q['query'] for q in found] == ['a red ring spinning', 'a star']
    text = small_inferencer.text_embeddings(
        ['a red ring spinning'], ['{}'])[0]
    for rank, hit in enumerate(found[0]['hits'], 1):
        assert hit['rank'] == rank and hit['start'] is None
        video = next(small_inferencer.embed(hit['path']))['embedding']
        assert hit['similarity'] == pytest.approx(text @ video, abs=1e-5)
    assert Image.open('out/a.png').height > 400
    refused(capsys, *search, names='out/a.png')
    capsys.readouterr()
    assert vifi(*search[:3], '--topk', 2, '--device', 'cpu', '--json') == 0
    assert json.loads(capsys.readouterr().out)['queries'] == found
    assert vifi(*search, '--overwrite', '--exact') == 0
    example = clips / "green's.mp4"
    capsys.readouterr()
    assert vifi('search', '--videos', example, '--topk', 1) == 0
    assert "1   1.000  whole" in capsys.readouterr().out


def test_pruning_needs_no_model(clips, capsys):
    index = make_index('i', np.eye(3), [
        *map(str, sorted(clips.iterdir()))])
    os.remove(clips / "red's.mp4")
    assert vifi('index', '--prune', '--index', 'i', '--ann') == 0
    out = capsys.readouterr().out
    assert '1 no longer on disk, removed' in out and 'ignored: 2' in out
    assert len(index) == 2
    shutil.rmtree(clips)
    assert vifi('index', '--prune', '--index', 'i') == 0
    refused(capsys, 'search', 'red', '--index', 'i', names='empty')


def test_the_model_is_the_indexs(clips, capsys):
    assert vifi('index', 'clips', *MODEL, '--precision', 'bf16') == 0
    assert vifi('index', 'clips', '--device', 'cpu') == 0
    assert '3 unchanged' in capsys.readouterr().out
    assert vifi('search', 'red', '--device', 'cpu') == 0
    refused(capsys, 'search', 'red', '--precision', 'autocast',
            names=['bf16', 'autocast'])
    refused(capsys, 'index', 'clips', '--num-views', 2, names='--num-views')
    identity = VideoIndex('vifi_index').identity
    for name in 'config', 'checkpoint':
        moved = os.path.abspath(f'moved.{name}')
        VideoIndex.create(name, replace(identity, **{name: moved})).add(
            entries(np.eye(identity.embed_dim)[:1]))
        refused(capsys, 'search', 'red', '--index', name,
                names=[moved, f'--{name}'])


def test_a_config_of_ones_own_is_named_on_the_command_line(clips, capsys):
    own = clips.parent / 'own.py'
    base = find_config('small_world')
    own.write_text(f'_base_ = {base!r}\nopen("ran", "a").write("x")')
    model = '--config', own, '--device', 'cpu'
    assert vifi('index', 'clips', *model) == 0
    assert vifi('search', 'red', *model) == 0
    ran = os.path.getsize('ran')
    for command in ['search', 'red'], ['index', 'clips']:
        refused(capsys, *command, names=[own, '--config'])
    assert os.path.getsize('ran') == ran


@pytest.mark.parametrize('change', [
    dict(config='evil.py'), dict(config='./configs/evil.py'),
    dict(config='small_world', checkpoint='http://127.0.0.1:9/a.pth'),
    dict(config='small_world', checkpoint='s3://a.pth'),
    *(dict(config='small_world', cfg_options=options) for options in (
        {'model.type': 'evil.make'}, {'model': {'type': 'evil.make'}},
        {'model.backbone': {'type': 'evil.make'}},
        {'val_pipeline': [{'type': 'evil.make'}]},
        {'val_pipeline.0.type': 'evil.make'}, {'model._scope_': 'evil'},
        {'custom_imports.imports': ['evil']}, {'default_scope': 'evil'},
        {'model.backbone.pretrained': 'http://127.0.0.1:9/a.pth'}))])
def test_an_index_runs_and_fetches_nothing(clips, capsys, monkeypatch,
                                           change):
    for name in 'evil.py', 'configs/evil.py', 'small_world', 'small_world.py':
        path = clips.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('def make(**_):\n    open("ran", "w")\nmake()\n')
    monkeypatch.syspath_prepend(str(clips.parent))
    identity = Identity('small_world', None, '0' * 64, 3, 8)
    VideoIndex.create('i', replace(identity, **change)).add(
        entries(np.eye(3)[:1]))
    for command in ['search', 'red'], ['index', 'clips']:
        refused(capsys, *command, '--index', 'i', '--device', 'cpu',
                names='give them')
    VideoIndex.create('other', identity).add(entries(np.eye(3)[:1]))
    refused(capsys, 'search', 'red', '--index', 'other', names='was made with')
    assert not os.path.exists('ran')


def test_settings_of_an_index_that_are_numbers_and_texts(clips):
    options = ['--cfg-options', 'model.cls_head.fusion=decision',
               'model.data_preprocessor.mean=[127.5,127.5,127.5]']
    assert vifi('index', 'clips', *MODEL, *options) == 0
    assert vifi('search', 'red', '--device', 'cpu') == 0


@pytest.mark.parametrize('name', Identity.__dataclass_fields__)
@pytest.mark.parametrize('value', [3.5, ['a'], {'zz': 'a'}, None])
def test_a_record_of_other_kinds_is_refused(tmp_path, name, value):
    if (name, value) in [('checkpoint', None)] or (
            value == {'zz': 'a'} and name in ('cfg_options', 'settings')):
        return
    make_index(tmp_path / 'i', np.eye(3)[:1])
    file = tmp_path / 'i/index.json'
    record = json.loads(file.read_text())
    record['identity'][name] = value
    file.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f'/i is not a search index.*{name}'):
        VideoIndex(str(tmp_path / 'i'))


@pytest.mark.parametrize('command, argv, names', [
    ('index', [], 'folders'),
    ('index', ['nowhere'], 'nowhere'),
    ('index', ['empty'], 'empty'),
    ('index', ['clips', '--index', 'taken'], 'taken'),
    ('index', ['clips', '--index', 'taken/precious.txt/i'], '--index'),
    ('index', ['clips', '--window', '0'], '--window'),
    ('index', ['http://localhost/a.mp4'], 'http://localhost/a.mp4'),
    ('search', ['red', '--index', 'none'], 'none'),
    ('search', ['red', '--index', 'clips'], 'clips'),
    ('search', [''], 'query'),
    ('search', [], '--videos'),
    ('search', ['red', '--videos', 'clips'], '--videos'),
    ('search', ['red', '--template', 'x'], '--template'),
    ('search', ['red', '--sheet', 'a.gif'], '--sheet'),
    ('search', ['red', '--sheet', "clips/red's.mp4/a.jpg"], '--sheet'),
    ('search', ['red'], 'some_config')])
def test_bad_input(clips, capsys, command, argv, names):
    for name in 'empty', 'taken':
        os.mkdir(name)
    precious = clips.parent / 'taken/precious.txt'
    precious.write_text('mine')
    make_index('full', np.eye(3)[:1])
    more = dict(index=['--config', 'small_world'], search=['--index', 'full'])
    refused(capsys, command, *more[command], *argv, names=names)
    assert os.listdir('taken') == ['precious.txt']
    assert precious.read_text() == 'mine'
