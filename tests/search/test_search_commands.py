"""vifi-clip index and vifi-clip search, as they are typed."""
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from commands import refused, vifi
from PIL import Image
from search_world import colour_clip, entries, make_index, unit

from projects.vifi_clip_tools.search.store import VideoIndex

MODEL = ('--config', 'small_world', '--device', 'cpu')


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Clips in the working directory."""
    monkeypatch.chdir(tmp_path)
    for colour in 'red', 'green', 'blue':
        colour_clip(tmp_path / 'clips' / f"{colour}'s.mp4", colour)
    return tmp_path / 'clips'


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
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
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
    assert vifi(*search, '--overwrite', '--exact') == 0
    example = clips / "green's.mp4"
    capsys.readouterr()
    assert vifi('search', '--videos', example, '--topk', 1) == 0
    assert "1   1.000  whole" in capsys.readouterr().out


def test_pruning_needs_no_model(clips, capsys):
    index = make_index('i', unit(np.eye(3)), [
        *map(str, sorted(clips.iterdir()))])
    os.remove(clips / "red's.mp4")
    assert vifi('index', '--prune', '--index', 'i', '--ann') == 0
    out = capsys.readouterr().out
    assert '1 no longer on disk, forgotten' in out and '--ann: 2' in out
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


@pytest.mark.parametrize('command, argv, names', [
    ('index', [], 'folders'),
    ('index', ['nowhere'], 'nowhere'),
    ('index', ['empty'], 'empty'),
    ('index', ['clips', '--index', 'taken'], 'taken'),
    ('index', ['clips', '--index', 'taken/precious.txt/i'], '--index'),
    ('index', ['clips', '--index', '/proc/no/index'], '--index'),
    ('index', ['clips', '--index', 'taken/precious.txt'], 'precious.txt'),
    ('index', ['clips', '--window', '0'], '--window'),
    ('index', ['http://localhost/a.mp4'], 'http://localhost/a.mp4'),
    ('index', ['--prune', '--index', 'none'], 'none'),
    ('search', ['red', '--index', 'none'], 'none'),
    ('search', ['red', '--index', 'clips'], 'clips'),
    ('search', [''], 'query'),
    ('search', [], '--videos'),
    ('search', ['red', '--videos', 'clips'], '--videos'),
    ('search', ['--videos', 'nowhere'], 'nowhere'),
    ('search', ['red', '--template', 'x'], '--template'),
    ('search', ['red', '--sheet', 'a.gif'], '--sheet'),
    ('search', ['red', '--sheet', "clips/red's.mp4/a.jpg"], '--sheet'),
    ('search', ['red'], 'some_config')])
def test_bad_input(clips, capsys, command, argv, names):
    for name in 'empty', 'taken':
        os.mkdir(name)
    precious = clips.parent / 'taken/precious.txt'
    precious.write_text('mine')
    make_index('full', unit([[1, 0, 0]]))
    more = dict(index=['--config', 'none_such'], search=['--index', 'full'])
    refused(capsys, command, *more[command], *argv, names=names)
    assert os.listdir('taken') == ['precious.txt']
    assert precious.read_text() == 'mine'
