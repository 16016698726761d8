"""Work that goes on, beside files of the user."""
import json
import os
from pathlib import Path

import pytest
import torch
from helpers import write_mp4

from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.predict.command import main
from projects.vifi_clip_tools.predict.results_file import PredictionFile
from projects.vifi_clip_tools.predict.pictures import target_stems
from projects.vifi_clip_tools.predict.predict_record import meta_path
from projects.vifi_clip.apis.inputs import VideoInput

RECORD = dict(version='1', weights='abc')


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(['a/x.mp4', 'b/x.mp4', 'b/y.mp4']):
        Path(name).parent.mkdir(exist_ok=True)
        write_mp4(tmp_path / name, 8 + i, (64, 64))
    return tmp_path


def predict(*argv) -> int:
    torch.manual_seed(0)
    try:
        return run_main(main, ['--config', 'small_world', '--device', 'cpu',
                               *map(str, argv)])
    except SystemExit as end:
        return end.code


def names(out) -> list:
    return [json.loads(line)['video']
            for line in Path(out).read_text().splitlines()]


def test_pictures_of_stopped_work(folder, capsys):
    """Copies keep their names; what is not ours is never replaced."""
    given = ['--out', 'r.jsonl', '--save-video', 'sd']
    assert predict('b/x.mp4', *given) == 0
    first = Path('sd/x.mp4').read_bytes()
    # another list, in which another video would have been 'x'
    assert predict('a/x.mp4', 'b/x.mp4', *given) == 0
    assert '1 of 2 were done before' in capsys.readouterr().err
    assert Path('sd/x.mp4').read_bytes() == first
    assert sorted(os.listdir('sd')) == ['x-2.mp4', 'x.mp4']
    record = json.loads(Path('r.jsonl.meta.json').read_text())
    assert record['stems'] == {'b/x.mp4': 'x', 'a/x.mp4': 'x-2'}
    # a copy that is gone is made again, in one line
    os.remove('sd/x.mp4')
    assert predict('a/x.mp4', 'b/x.mp4', *given) == 0
    assert Path('sd/x.mp4').exists()
    assert names('r.jsonl') == ['a/x.mp4', 'b/x.mp4']
    # a file of the user where a new copy would be
    Path('sd/y.mp4').write_text('mine')
    assert predict('b/x.mp4', 'b/y.mp4', *given) == 2
    assert 'sd/y.mp4 exists' in capsys.readouterr().err
    assert Path('sd/y.mp4').read_text() == 'mine'


def test_other_pictures_are_refused(folder, capsys):
    assert predict('b/x.mp4', '--out', 'r.jsonl') == 0
    for more in ['--save-video', 'sd'], ['--timeline', 'tl']:
        assert predict('b/x.mp4', '--out', 'r.jsonl', *more) == 2
        assert '--save-video, --timeline, --window or --stride differ' in (
            capsys.readouterr().err)
        assert not os.listdir(more[1])
    assert predict('b/x.mp4', '--out', 'r.jsonl') == 0


def test_stems_go_on():
    videos = [VideoInput(name, name) for name in ('a/x.mp4', 'c/x-2.mp4',
                                                  'b/X.mp4')]
    before = {'gone/x.mp4': 'x', 'b/X.mp4': 'X-3'}
    found = target_stems(videos, before)
    assert found == {**before, 'a/x.mp4': 'x-4', 'c/x-2.mp4': 'x-2'}


@pytest.mark.parametrize('option', ['--list', '--labels'])
def test_inputs_are_not_written_over(folder, option, capsys):
    Path('r.csv').write_text('b/x.mp4\nb/y.mp4\n')
    os.link('r.csv', 'same.csv')
    for more in [], ['--overwrite']:
        assert predict('b/x.mp4', option, 'r.csv', '--out', 'same.csv',
                       *more) == 2
        assert f'would write over {option} r.csv' in capsys.readouterr().err
    assert Path('r.csv').read_text() == 'b/x.mp4\nb/y.mp4\n'


@pytest.mark.parametrize('name, content', [
    ('r.jsonl.meta.json', '{"my": "notes"}'), ('r.jsonl.meta.json', 'notes'),
    ('r.jsonl.part0', 'my notes'), ('r.jsonl.part7', '{"video": "mine"}\n')])
def test_foreign_files_beside(folder, name, content, capsys):
    Path(name).write_text(content)
    for more in [], ['--overwrite']:
        assert predict('b/x.mp4', '--out', 'r.jsonl', *more) == 2
        said = capsys.readouterr().err
        assert name in said and 'move it away' in said
        assert 'Traceback' not in said
    assert Path(name).read_text() == content


def test_foreign_temporary_file_and_links(folder):
    Path('real').mkdir()
    os.symlink('real/r.jsonl', 'r.jsonl')
    for name in 'r.jsonl.tmp', 'real/r.jsonl.tmp':
        Path(name).write_text('mine')
    for _ in range(2):
        assert predict('b/x.mp4', '--out', 'r.jsonl') == 0
    assert os.path.islink('r.jsonl')
    assert names('real/r.jsonl') == ['b/x.mp4']
    for name in 'r.jsonl.tmp', 'real/r.jsonl.tmp':
        assert Path(name).read_text() == 'mine'
    assert sorted(os.listdir('real')) == [
        'r.jsonl', 'r.jsonl.meta.json', 'r.jsonl.tmp']


@pytest.mark.parametrize('line', [
    '{"video": ["a"], "label": "p", "scores": [1.0]}', '{"video": "a"}',
    '{"video": "a", "scores": []}', '{"video": "a", "scores": ["x"]}',
    '{"video": "a", "error": null}', '{"video": "a", "error": ""}'])
def test_damaged_lines(tmp_path, line):
    out = str(tmp_path / 'r.jsonl')
    with PredictionFile(out, 2) as file:
        file.prepare(RECORD, False)
    good = '{"video": "b", "label": "p", "labels": ["p"], "scores": [1.0]}\n'
    Path(out).write_text(f'{line}\n{good}')
    with PredictionFile(out, 2) as file:
        with pytest.raises(ValueError, match='line 1, is no prediction'):
            file.prepare(RECORD, False)
    assert Path(out).read_text() == f'{line}\n{good}'


def test_odd_names_in_a_record(tmp_path):
    odd = {os.fsdecode(b'\xff.mp4'): 'x', 'größe': 'y'}
    with PredictionFile(str(tmp_path / 'r.csv'), 2) as file:
        file.prepare(RECORD, False)
        file.keep_stems(odd)
        assert file.stems() == odd
        with pytest.raises(ValueError, match='another process'):
            PredictionFile(str(tmp_path / 'r.csv'), 2).prepare(RECORD, False)


@pytest.mark.parametrize('options, message', [
    (['--timeout', '1e30'], '--timeout can be 86400'),
    (['--max-download', '1e308'], '--max-download can be 1e+09'),
    (['--out', 'n' * 240 + '.jsonl'], 'cannot be written'),
    (['--out', 'folder.csv'], 'folder.csv.meta.json'),
    (['--save-video', 'sd', '--overwrite'], 'is a folder')])
def test_refused_before_the_model(folder, options, message, capsys,
                                  monkeypatch):
    Path('sd/x.mp4').mkdir(parents=True)
    Path(meta_path('folder.csv')).mkdir()

    def loaded(*args, **kwargs):
        raise AssertionError('the model was loaded')

    monkeypatch.setattr('projects.vifi_clip_tools.predict.command.'
                        'inferencer_from_args', loaded)
    assert predict('b/x.mp4', *options) == 2
    error, = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in error


def test_addresses_and_marks_in_lists(folder, capsys):
    address = (folder / 'b/x.mp4').as_uri()
    Path('list').write_text(f'{address}\nhttp://[bad\nb/y.mp4\n',
                            encoding='utf-8-sig')
    assert predict('--list', 'list', '--out', 'r.jsonl') == 1
    assert names('r.jsonl') == [address, 'http://[bad', 'b/y.mp4']
    assert 'http://[bad: ' in capsys.readouterr().err
    assert predict('http://[bad', 'b/y.mp4', '--save-video', 'sd') == 1
