"""vifi-clip index and vifi-clip search, as they are typed."""
import json
import os
import runpy

import pytest
from PIL import Image
from search_world import ColourModel, colour_clip, make_index, unit

from projects.vifi_clip_tools.search import index_command as index_tool
from projects.vifi_clip_tools.search import search_command as search_tool
from projects.vifi_clip.apis.config import run_main


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Clips in the working directory, and a model that loads at once."""
    monkeypatch.chdir(tmp_path)
    for colour in 'red', 'green', 'blue':
        colour_clip(tmp_path / 'clips' / f"{colour}'s.mp4", colour)
    loaded = []

    def load(args):
        loaded.append((args.config, args.checkpoint))
        return ColourModel(config=args.config)

    for tool in index_tool, search_tool:
        monkeypatch.setattr(tool, 'inferencer_from_args', load)
    return loaded


def run(tool, *argv):
    """Exit code, as a shell sees it."""
    try:
        return run_main(tool.main, list(argv))
    except SystemExit as stop:
        return stop.code


def test_index_then_search(world, tmp_path, capsys):
    assert run(index_tool, 'clips') == 0
    assert 'vifi_index: 3 added, 0 changed' in capsys.readouterr().out
    assert run(index_tool, 'clips', '--config', 'small_world') == 0
    assert run(search_tool, 'blue', 'red', '--topk', '2', '--json', 'a.json',
               '--sheet', 'out/a.png') == 0
    # the model is the index's unless another is named
    assert world == [('vifi_zero_shot', None), ('small_world', None),
                     ('vifi_zero_shot', None)]
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "blue's.mp4" in out and '3 embeddings, exact search' in out
    found = json.loads((tmp_path / 'a.json').read_text())
    assert [q['query'] for q in found['queries']] == ['blue', 'red']
    best = found['queries'][1]['hits'][0]
    assert best['path'] == str(tmp_path / 'clips' / "red's.mp4")
    assert best['rank'] == 1 and best['similarity'] > 0.99
    assert best['start'] is None
    assert Image.open(tmp_path / 'out' / 'a.png').height > 400
    assert run(search_tool, 'blue', '--json', 'a.json') == 2
    assert 'a.json exists' in capsys.readouterr().err
    assert run(search_tool, 'blue', '--json', 'a.json', '--overwrite') == 0


def test_the_precision_is_the_indexs(world, monkeypatch, capsys):
    seen = []

    def load(args):
        seen.append(args.precision)
        return ColourModel(config=args.config)

    for tool in index_tool, search_tool:
        monkeypatch.setattr(tool, 'inferencer_from_args', load)
    assert run(index_tool, 'clips', '--precision', 'bf16') == 0
    assert run(search_tool, 'red') == 0
    assert run(index_tool, 'clips') == 0
    assert seen == 3 * ['bf16']
    capsys.readouterr()
    assert run(search_tool, 'red', '--precision', 'int8') == 2
    assert "inference: {'precision': 'bf16'} and {'precision': 'int8'}" in (
        capsys.readouterr().err)


def test_search_by_example(world, tmp_path, capsys):
    example = colour_clip(tmp_path / 'like.mp4', 'green')
    run(index_tool, 'clips')
    capsys.readouterr()
    assert run(search_tool, '--videos', example, '--topk', '1') == 0
    assert "green's.mp4" in capsys.readouterr().out


def test_exit_codes_and_pruning(world, tmp_path, capsys):
    (tmp_path / 'clips' / 'bad.mp4').write_bytes(b'no video')
    assert run(index_tool, 'clips', '--index', 'i') == 1
    said = capsys.readouterr()
    assert '3 added, 0 changed, 0 unchanged, 1 failed' in said.out
    assert 'bad.mp4\n  no video' in said.err
    os.remove(tmp_path / 'clips' / 'bad.mp4')
    os.remove(tmp_path / 'clips' / "red's.mp4")
    assert run(index_tool, 'clips', '--index', 'i') == 0
    assert '1 no longer on disk, e.g. ' in capsys.readouterr().out
    loads = len(world)
    assert run(index_tool, '--prune', '--index', 'i', '--ann') == 0
    out = capsys.readouterr().out
    assert '1 no longer on disk, forgotten' in out
    assert '--ann: 2 embeddings are searched exactly' in out
    assert len(world) == loads  # no model is needed for that


def test_ctrl_c_has_the_shells_exit_code(world, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(ColourModel, 'embed', interrupted)
    assert run(index_tool, 'clips') == 130
    assert 'what was done is kept' in capsys.readouterr().err


BAD_INDEX = [
    ([], 'name the folders'),
    (['nowhere'], 'No such video: nowhere'),
    (['empty'], 'empty has no videos'),
    (['clips', '--index', 'taken'], 'taken is no search index'),
    (['clips', '--index', 'taken/precious.txt/i'], 'cannot be written'),
    (['clips', '--index', '/proc/no/index'], 'cannot be written'),
    (['clips', '--index', 'taken/precious.txt'], 'is no search index'),
    (['clips', '--window', '0'], '--window 0: seconds above 0'),
    (['clips', '--window', 'nan'], '--window nan'),
    (['clips', '--batch-size', '0'], '--batch-size 0'),
    (['clips', '--num-views', 'x'], '--num-views x'),
    (['http://localhost/a.mp4'], 'An index is of files'),
    (['--prune', '--index', 'none'], 'There is no search index at '),
]


@pytest.mark.parametrize('argv, says', BAD_INDEX)
def test_bad_input_of_index_is_told_before_the_model_loads(
        world, tmp_path, capsys, argv, says):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'taken').mkdir()
    (tmp_path / 'taken' / 'precious.txt').write_text('mine')
    assert run(index_tool, *argv) == 2
    assert says in capsys.readouterr().err and not world
    assert os.listdir(tmp_path / 'taken') == ['precious.txt']
    assert (tmp_path / 'taken' / 'precious.txt').read_text() == 'mine'


BAD_SEARCH = [
    (['red'], 'There is no search index at '),
    (['red', '--index', 'clips'], 'clips is no search index'),
    (['red', '--index', 'full', '--topk', '0'], '--topk 0'),
    (['', '--index', 'full'], 'The query is empty'),
    (['--index', 'full'], 'at least one query'),
    (['red', '--index', 'full', '--videos', 'clips'], 'not both'),
    (['--index', 'full', '--videos', 'nowhere'], 'No such video'),
    (['red', '--index', 'full', '--template', 'x'], '{} once'),
    (['red', '--index', 'full', '--sheet', 'a.gif'], '--sheet writes'),
    (['red', '--index', 'full', '--sheet', "clips/red's.mp4/a.jpg"],
     'cannot be written'),
    (['red', '--index', 'full'], 'made with the config some_config'),
    (['red', '--measure', '100'], '--measure stands alone'),
]


@pytest.mark.parametrize('argv, says', BAD_SEARCH)
def test_bad_input_of_search_is_told_before_the_model_loads(
        world, tmp_path, capsys, argv, says):
    make_index(tmp_path / 'full', unit([[1, 0, 0]]))
    assert run(search_tool, *argv) == 2
    assert says in capsys.readouterr().err and not world


def test_a_moved_checkpoint_is_asked_for(world, tmp_path, capsys,
                                         monkeypatch):
    monkeypatch.setattr(ColourModel, 'checkpoint', str(tmp_path / 'w.pth'))
    (tmp_path / 'w.pth').write_text('weights')
    assert run(index_tool, 'clips', '--checkpoint', 'w.pth') == 0
    os.rename(tmp_path / 'w.pth', tmp_path / 'moved.pth')
    loads = len(world)
    assert run(search_tool, 'red') == 2
    assert 'w.pth, which is not there; say with --checkpoint' in (
        capsys.readouterr().err)
    assert len(world) == loads
    assert run(search_tool, 'red', '--checkpoint', 'moved.pth') == 0


def test_an_empty_index_and_another_model(world, tmp_path, capsys,
                                          monkeypatch):
    assert run(index_tool, 'clips') == 0
    monkeypatch.setattr(search_tool, 'inferencer_from_args',
                        lambda args: ColourModel(1, 'other'))
    assert run(search_tool, 'red') == 2
    err = capsys.readouterr().err
    assert 'vifi_zero_shot' in err and 'other' in err and 'weights' in err
    for path in (tmp_path / 'clips').iterdir():
        path.unlink()
    assert run(index_tool, '--prune') == 0
    assert run(search_tool, 'red') == 2
    assert 'is empty; add videos with' in capsys.readouterr().err


def test_the_small_world_from_end_to_end(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for colour in 'red', 'blue':
        colour_clip(tmp_path / 'clips' / f'{colour}.mp4', colour)
    for name, argv in (
        ('index', ['clips', '--config', 'small_world', '--device', 'cpu']),
        ('search', ['a red ring spinning', '--sheet', 'a.jpg', '--device',
                    'cpu', '--json', 'a.json'])):
        monkeypatch.setattr('sys.argv', [name, *argv])
        root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(f'{root}/tools/{name}.py', run_name='__main__')
        assert stop.value.code == 0
    assert '2 embeddings, exact search' in capfd.readouterr().out
    hits = json.loads((tmp_path / 'a.json').read_text())['queries'][0]['hits']
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
    inferencer = ViFiCLIPInferencer('small_world', device='cpu')
    text = inferencer.text_embeddings(['a red ring spinning'], ['{}'])[0]
    for hit in hits:
        video = next(inferencer.embed(hit['path']))['embedding']
        assert hit['similarity'] == pytest.approx(text @ video, abs=1e-5)
    assert Image.open(tmp_path / 'a.jpg').width > 600
