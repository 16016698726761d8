"""Prediction on videos of one's own, and work that goes on."""
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from commands import refused, vifi
from helpers import write_mp4
from tools_world import REPO

from projects.vifi_clip_tools.predict.results_file import ResultsFile

MODEL = ['--config', 'small_world', '--device', 'cpu']


@pytest.fixture(scope='session')
def made(tmp_path_factory) -> Path:
    """Three videos in two folders, a list of classes, and no video."""
    folder = tmp_path_factory.mktemp('videos')
    for i, name in enumerate(['a/x.mp4', 'b/x.mp4', 'b/y.mp4']):
        (folder / name).parent.mkdir(exist_ok=True)
        write_mp4(folder / name, 8 + i, (64, 64))
    (folder / 'classes.txt').write_text('one\ntwo\n')
    (folder / 'empty.mp4').touch()
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch) -> Path:
    """A copy of them, which is the working directory."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / 'w'))
    return tmp_path / 'w'


def predict(*argv) -> int:
    return vifi('predict', *MODEL, *argv)


def lines(path) -> list:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def table(path) -> list:
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def names(path) -> list:
    return [line['video'] for line in lines(path)]


def test_scores_of_own_labels(folder, capsys):
    labels = ['--labels', 'a cat, a dog,' + 'very ' * 15 + 'long label']
    assert predict('a', 'b/y.mp4', *labels) == 0
    printed = capsys.readouterr()
    assert '2 videos, 3 labels, 1 view of 8 frames, on cpu\n' in printed.err
    assert predict('a', 'b/y.mp4', *labels, '--out', 'r.jsonl') == 0
    assert names('r.jsonl') == ['a/x.mp4', 'b/y.mp4']
    for result in lines('r.jsonl'):
        assert result['video'] in printed.out
        assert len(set(result['labels'])) == 3
        for score in result['scores']:
            assert f'{100 * score:5.1f}%' in printed.out


def test_a_model_without_weights_says_so(folder, capsys, monkeypatch):
    """Unless one asks for it."""
    monkeypatch.setenv('PRETRAINED', 'none')
    for more, said in ([], True), (['--checkpoint', 'none'], False):
        assert vifi('predict', 'a/x.mp4', '--config', 'vifi_mini', '--labels',
                    'one,two', '--device', 'cpu', *more) == 0
        assert ('give --checkpoint FILE' in capsys.readouterr().err) == said


def test_labels_views_precision_and_threshold(folder, capsys):
    assert predict('b/x.mp4', '--labels', 'classes.txt', '--num-views', '4x3',
                   '--out', 'a.jsonl') == 0
    assert '12 views of 8 frames' in capsys.readouterr().err
    assert set(lines('a.jsonl')[0]['labels']) == {'one', 'two'}
    for name in 'fp32', 'autocast':
        assert predict('b/x.mp4', '--topk', '2', '--precision', name, '--out',
                       f'{name}.jsonl') == 0
    full, low = (lines(f'{n}.jsonl')[0] for n in ('fp32', 'autocast'))
    assert len(full['labels']) == 2 and full['scores'] != low['scores']
    assert low['scores'] == pytest.approx(full['scores'], abs=.05)
    none = ['b/x.mp4', '--labels', 'a ring, a star', '--threshold', '1']
    assert predict(*none) == 0
    assert 'none of these' in capsys.readouterr().out
    assert predict(*none, '--out', 'r.csv') == 0
    row, = table('r.csv')
    assert row['label'] == 'none of these' and row['label_1'] in none[2]


def test_a_toy_says_what_it_does_not_know(folder, capsys):
    """Videos and words, on the screen and in files."""
    assert predict('a/x.mp4', '--labels', 'a ring, a dog') == 0
    said = capsys.readouterr()
    assert 'a dog' in said.err and 'unlike' in said.out
    assert predict('a/x.mp4', 'b', '--out', 'r.jsonl') == 0
    assert 'a/x.mp4 and 2 more' in capsys.readouterr().err
    assert all('unlike' in line['warning'] for line in lines('r.jsonl'))


def test_a_list_with_labels(folder):
    """As MMAction2 writes it; a name that ends in a number stays."""
    shutil.copy('a/x.mp4', 'my clip.mp4 1')
    Path('list.txt').write_text('a/x.mp4 0\nb/y.mp4\t3\nmy clip.mp4 1\n'
                                'b/x.mp4\n')
    assert predict('--list', 'list.txt', '--out', 'r.jsonl') == 0
    assert names('r.jsonl') == ['a/x.mp4', 'b/y.mp4', 'my clip.mp4 1',
                                'b/x.mp4']


@pytest.mark.parametrize('argv, named', [
    (['absent.mp4'], 'absent.mp4'), (['empty.mp4'], 'empty.mp4'),
    (['camera:x'], 'camera:0'), (['none'], 'no videos'), ([], 'no videos'),
    (['a', '--labels', 'a,,b'], '--labels'),
    (['a', '--labels', 'lecture;indoor'], 'multi-label'),
    (['--list', 'utf16'], 'utf16, line 1: not UTF-8'),
    (['--list', 'b'], '--list b'), (['--list', 'empty.txt'], 'empty.txt'),
    (['frames'], "'frames/*.png'"),
    (['frames/*'], 'ffmpeg'), (['frames/1.png'], 'ffmpeg'),
    (['a\\x.mp4'], 'write /'),
    (['a', '--template', 'no place'], '{}'),
    (['a', '--timeout', '1e30'], '--timeout'),
    (['a', '--max-download', '1e308'], '--max-download'),
    (['a', '--device', 'cuda:77'], 'cuda:77'), (['--list', 'gone'], 'gone'),
    (['a', '--out', 'r.txt'], '--out'),
    (['a', '--out', 'n' * 240 + '.jsonl'], '--out'),
    (['a', '--out', 'folder.csv'], 'folder.csv.meta.json'),
    (['a', '--save-video', 'classes.txt'], '--save-video'),
    (['a', '--save-video', 'a'], '--save-video'),
    (['a', '--save-video', 'sd', '--overwrite'], 'folder'),
    (['a', 'b', '--timeline', 'one.png'], '--timeline'),
    (['a', '--timeline', 't', '--window', '1e-300'], '--window'),
    (['--list', 'nul'], 'nul, line 2: not UTF-8')])
def test_refused(folder, argv, named, capsys):
    Path('nul').write_text('a/x.mp4\na\0.mp4\n')
    for name in 'none', 'folder.csv.meta.json', 'sd/x.mp4':
        Path(name).mkdir(parents=True)
    Path('frames').mkdir()
    Path('frames/1.png').touch()
    Path('utf16').write_text('a/x.mp4\n', encoding='utf-16')
    Path('empty.txt').touch()
    refused(capsys, 'predict', *MODEL, *argv, names=named)


@pytest.mark.parametrize('argv, named', [
    (['--template', 'no place'], 'no place'),
    (['--labels', 'x', '--threshold', '.5'], '--threshold'),
    (['--num-views', '0'], '--num-views'), (['--topk', '9' * 9], '--topk')])
def test_refused_before_a_model_is_loaded(folder, argv, named, capsys):
    refused(capsys, 'predict', 'a', *argv, '--checkpoint', 'gone.pth',
            names=named)


@pytest.mark.parametrize('argv, named', [
    (['--labels', 'so ' * 90], 'tokens'), (['--template', 'so ' * 90 + '{}'],
                                           'tokens'),
    (['--config', f'{REPO}/configs/mix/videomae_base_vifi_head_k400.py',
      '--num-views', '4x3', '--labels', 'x'], '--num-views config')])
def test_refused_before_weights_are_loaded(folder, argv, named, capsys,
                                           monkeypatch):
    monkeypatch.setattr('projects.vifi_clip.apis.loading.MODELS.build',
                        pytest.fail)
    refused(capsys, 'predict', *MODEL, 'a', *argv, names=named)


def test_several_processes_need_a_file(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '2')
    refused(capsys, 'predict', 'a.mp4', names='--out')
    refused(capsys, 'predict', '-', '--out', 'r.csv', names='--list')


def test_a_decoder_that_crashes_stops_nothing(folder, bad_decoder, capsys):
    for name in 'crash.mp4', 'exit.mp4':
        shutil.copy('b/x.mp4', name)
    assert predict('b/x.mp4', 'crash.mp4', 'exit.mp4', 'b/y.mp4', '--labels',
                   'a ring, a star', '--out', 'r.jsonl') == 1
    assert '2 of 4 videos' in capsys.readouterr().out
    first, crashed, left, last = lines('r.jsonl')
    assert 'SIGSEGV' in crashed['error'] and 'code 7' in left['error']
    assert len(first['labels']) == len(last['labels']) == 2


@pytest.mark.parametrize('delay', [0.5, 0])  # it hangs; it is starting
def test_ctrl_c_while_a_decoder_hangs(folder, bad_decoder, monkeypatch, delay):
    """A thread reads there, and is waited for at the end of the process."""
    class Interrupted(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            threading.Timer(delay, os.kill, [os.getpid(), signal.SIGINT]
                            ).start()
            time.sleep(0 if delay else 0.5)

    shutil.copy('b/x.mp4', 'hang.mp4')
    monkeypatch.setattr(subprocess, 'Popen', Interrupted)
    assert predict('hang.mp4', '--labels', 'a ring, a star') == 130
    for thread in threading.enumerate():
        if thread.name.startswith('ThreadPoolExecutor'):
            thread.join(60)
            assert not thread.is_alive()


def test_one_bad_video_stops_nothing(folder, capsys):
    Path('bad.mp4').write_text('text')
    given = ['b/x.mp4', 'bad.mp4', 'b/y.mp4', '--labels', 'a ring, a star']
    assert predict(*given) == 1
    said = capsys.readouterr()
    assert 'b/y.mp4' in said.out and 'bad.mp4' not in said.out
    assert '1 of 3 videos' in said.err and 'Invalid data' in said.err
    for name in 'r.jsonl', 'r.csv':
        assert predict(*given, '--batch-size', '2', '--out', name) == 1
        assert '2 of 3 videos' in capsys.readouterr().out
    one, two, three = lines('r.jsonl')
    assert two == dict(video='bad.mp4', error=two['error'])
    assert 'Invalid data' in two['error'] and 'bad.mp4' not in two['error']
    rows = table('r.csv')
    assert [row['video'] for row in rows] == given[:3]
    assert rows[1]['error'] == two['error'] and rows[1]['label'] == ''
    for row, result in (rows[0], one), (rows[2], three):
        assert row['error'] == '' and row['score'] == row['score_1']
        assert row['label'] == row['label_1'] == result['label']
        assert [row['label_1'], row['label_2']] == result['labels']
        assert [float(row['score_1']), float(row['score_2'])] == (
            pytest.approx(result['scores'], abs=2e-6))


def test_names_and_labels_of_all_kinds(folder):
    for name in 'a, "b".mp4', 'höhe 視頻.mp4', 'line\nend.mp4', "'=1+1.mp4":
        Path('odd').mkdir(exist_ok=True)
        shutil.copy('a/x.mp4', Path('odd', name))
    labels = ['one, two', 'drei "vier"', 'größe 猫']
    Path('labels.json').write_text(json.dumps(labels))
    for name in ['r.csv', 'r.jsonl'] * 2:  # what is there is found again
        assert predict('odd', '--labels', 'labels.json', '--out', name) == 0
    expected = sorted(str(path) for path in Path('odd').iterdir())
    rows = table('r.csv')
    assert [row['video'] for row in rows] == names('r.jsonl') == expected
    assert {row['label_2'] for row in rows} <= set(labels)
    assert '視頻' in Path('r.jsonl').read_text(encoding='utf-8')


def test_names_and_labels_that_would_drive_a_terminal(folder, capsys):
    nasty = 'a\x1b]0;x\x07\u202e\n\rb'
    shutil.copy('a/x.mp4', f'{nasty}.mp4')
    Path(f'{nasty}2.mp4').touch()
    labels = '--labels', 'a,\u202eb'
    for argv, code in ((['--out', 'r.csv'], 1), ([], 1), (
            ['--save-video', 'v', '--timeline', 't'], 1)):
        assert predict('.', *labels, *argv) == code
        for text in capsys.readouterr():
            assert text.replace('\n', '').replace('\r', '').isprintable()
            assert argv or text.count('a?]0;x????b') == 1
    refused(capsys, 'predict', *MODEL, f'{nasty}3', names='a?]0;x??')
    assert nasty + '.mp4' in [row['video'].removeprefix('./')
                              for row in table('r.csv')]


def test_a_list_that_is_a_pipe(folder):
    """As of ``--list <(ls a/*)``."""
    os.mkfifo('pipe')
    writer = threading.Thread(
        target=Path('pipe').write_text, args=['a/x.mp4\n'], daemon=True)
    writer.start()
    assert predict('--list', 'pipe', '--out', 'r.jsonl') == 0
    assert names('r.jsonl') == ['a/x.mp4']


def test_names_of_standard_input_and_lists(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'stdin', io.StringIO('b/x.mp4\r\n\n'))
    address = (folder / 'b/y.mp4').as_uri()
    Path('list').write_text(f'gone.mp4\nhttp://[bad\n{address}\n',
                            encoding='utf-8-sig')
    assert predict('a/x.mp4', '-', '--list', 'list', '--out', 'r.jsonl') == 1
    assert names('r.jsonl') == ['a/x.mp4', 'b/x.mp4', 'gone.mp4',
                                'http://[bad', address]
    assert 'No such file' in lines('r.jsonl')[2]['error']
    Path('list').write_text('a\\x.mp4\n')
    assert predict('a/x.mp4', '--list', 'list', '--out', 's.jsonl') == 1
    assert [line['error'].partition('; ')[2] for line in lines('s.jsonl')[1:]
            ] == ['write / where the path has \\']
    assert 'http://[bad: ' in capsys.readouterr().err


def test_interrupted(folder, monkeypatch, capsys):
    """Ctrl-C after two videos: what is done is kept, and said."""
    encode, count = ResultsFile.encode, []

    def stop(self, result):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(result)
        return encode(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(ResultsFile, 'encode', stop)
        assert predict('a', 'b', '--out', 'r.jsonl') == 130
    assert 'r.jsonl' in capsys.readouterr().err
    assert names('r.jsonl') == ['a/x.mp4', 'b/x.mp4']
    assert predict('a', 'b', '--out', 'r.jsonl') == 0
    assert '2 of 3 were done before' in capsys.readouterr().err
    assert names('r.jsonl') == ['a/x.mp4', 'b/x.mp4', 'b/y.mp4']
    assert sorted(os.listdir()) == ['a', 'b', 'classes.txt', 'empty.mp4',
                                    'r.jsonl', 'r.jsonl.meta.json']


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
    # no copies, or other pictures, beside the same predictions
    for more in ['--out', 'r.jsonl'], [*given, '--timeline', 'tl']:
        refused(capsys, 'predict', *MODEL, 'b/x.mp4', *more,
                names=['--timeline', '--overwrite'])
    assert not os.listdir('tl')
    # a file of the user where a new copy would be
    Path('sd/y.mp4').write_text('mine')
    refused(capsys, 'predict', *MODEL, 'b/x.mp4', 'b/y.mp4', *given,
            names='sd/y.mp4')
    assert Path('sd/y.mp4').read_text() == 'mine'


def test_a_timeline_as_picture_and_numbers(folder):
    assert predict('b', '--labels', 'a ring, a star', '--window', '.2',
                   '--timeline', 'tl') == 0
    assert sorted(os.listdir('tl')) == ['x.json', 'x.png', 'y.json', 'y.png']
    found = json.loads(Path('tl/x.json').read_text())
    assert found['video'] == 'b/x.mp4' and found['window'] == .2
    assert len(found['scores']) == len(found['times']) == 3
    assert Path('tl/x.png').read_bytes()[:4] == b'\x89PNG'


@pytest.mark.parametrize('name, content, option', [
    ('r.csv', 'my notes\n', None), ('r.csv.meta.json', '{"my": "no"}', None),
    ('r.csv.part0', 'my notes', None),
    ('r.csv.part7', '{"video": "mine"}\n', None),
    # what is read, by another name
    ('same.csv', 'b/x.mp4\nb/y.mp4\n', '--list'),
    ('same.csv', 'b/x.mp4\nb/y.mp4\n', '--labels')])
def test_foreign_files_and_inputs_stay(folder, name, content, option, capsys):
    Path(name).write_text(content)
    given = ['predict', *MODEL, 'b/x.mp4', '--out', 'r.csv']
    if option:
        os.link(name, 'r.csv')
        given += [option, name]
    refused(capsys, *given, names=[name, option or '--out'])
    if name != 'r.csv':
        refused(capsys, *given, '--overwrite', names=name)
    assert Path(name).read_text() == content


def test_links_and_temporary_files_of_others(folder):
    Path('real').mkdir()
    os.symlink('real/r.jsonl', 'r.jsonl')
    others = Path('r.jsonl.tmp'), Path('real/r.jsonl.tmp')
    for path in others:
        path.write_text('mine')
    for _ in range(2):
        assert predict('b/x.mp4', '--out', 'r.jsonl') == 0
    assert os.path.islink('r.jsonl') and names('real/r.jsonl') == ['b/x.mp4']
    assert [path.read_text() for path in others] == ['mine'] * 2
    assert sorted(os.listdir('real')) == [
        'r.jsonl', 'r.jsonl.meta.json', 'r.jsonl.tmp']
