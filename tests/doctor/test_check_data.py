"""vifi-clip check-data on real files: report, cleaned lists, manners."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from commands import refused, vifi
from doctor_world import write_clip, write_files
from helpers import BAD_DECODER

ROOT = Path(__file__).resolve().parents[2]


def main(args) -> int:
    return vifi('check-data', *args)


@pytest.fixture(scope='session')
def sick_data(tmp_path_factory) -> Path:
    """A list folder and videos with one of every ailment."""
    root = tmp_path_factory.mktemp('sick')
    videos = root / 'videos'
    for seed, name in enumerate(('a', 'b', 'c', 'd', 'e', 'f')):
        write_clip(videos / f'{name}.mp4', seed)
    write_clip(videos / 'short.mp4', 10, num=9)
    write_clip(videos / 'of c.avi', 2, size=(64, 48))
    shutil.copy(videos / 'a.mp4', videos / 'of a.mp4')
    (videos / 'empty.mp4').write_bytes(b'')
    (videos / 'noise.mp4').write_bytes(np.random.default_rng(0).bytes(3000))
    cut = write_clip(videos / 'cut.avi', 11)
    cut.write_bytes(cut.read_bytes()[:-4000])
    write_files(
        root / 'lists',
        classes='run; jump; swim',
        train='a.mp4 0; b.mp4 0; of a.mp4 0; c.mp4 1; short.mp4 1; '
        'empty.mp4 1; noise.mp4 0; cut.avi 0; b.mp4 0; gone.mp4 1; d.mp4 1',
        val='d.mp4 1; of c.avi 1; e.mp4 0; f.mp4 2')
    write_files(root, bad_val='a.mp4 0; ; g.mp4 one')
    return root


def arguments(root, *more):
    return [str(each) for each in (root / 'lists', '--videos', root / 'videos',
                                   '--workers', 2, *more)]


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob('*')) if path.is_file()
    }


def findings(out):
    report = json.loads((out / 'report.json').read_text())
    return {(item['check'], item['subject']) for item in report['findings']}


def test_every_ailment_is_found(sick_data, tmp_path):
    before = files_in(sick_data)
    out = tmp_path / 'out'
    assert main(arguments(sick_data, '--out', out)) == 1
    assert findings(out) == {
        ('missing', 'gone.mp4'), ('empty', 'empty.mp4'),
        ('cut_short', 'cut.avi'), ('unreadable', 'noise.mp4'),
        ('too_short', 'short.mp4'), ('repeated_line', 'b.mp4'),
        ('same_bytes', 'a.mp4'), ('train_test', 'd.mp4'),
        ('train_test_look_alike', 'c.mp4'), ('no_video', 'swim (label 2)')}
    assert (out / 'clean/train.txt').read_text() == (
        'a.mp4 0\nb.mp4 0\nc.mp4 1\nshort.mp4 1\n')
    for name in 'val.txt', 'classes.txt':
        assert (out / 'clean' / name).read_bytes() == before[f'lists/{name}']
    assert files_in(sick_data) == before
    assert '`gone.mp4`: no such file [train.txt:10]' in (
        out / 'report.md').read_text()
    rows = (out / 'videos.csv').read_text().splitlines()
    assert rows[1].startswith('a.mp4,ok,') and ',24,96,64,25.0,' in rows[1]
    assert (out / 'classes.csv').read_text().splitlines()[1:] == [
        'train.txt,0,run,6,3', 'train.txt,1,jump,5,3', 'train.txt,2,swim,0,0',
        'val.txt,0,run,1,1', 'val.txt,1,jump,2,2', 'val.txt,2,swim,1,1']


def test_cleaned_lists_have_no_problems_with_any_workers(sick_data, tmp_path):
    outs = []
    for workers in 1, 3:
        outs.append(tmp_path / str(workers))
        assert main(arguments(sick_data, '--decode', 'full', '--workers',
                              workers, '--out', outs[-1])) == 1
    assert files_in(outs[0]) == files_in(outs[1])
    lists = write_files(outs[0] / 'clean', classes='run; jump')
    val = lists / 'val.txt'
    val.write_text(val.read_text().replace('f.mp4 2', 'f.mp4 0'))
    again = tmp_path / 'again'
    assert main([lists, '--videos', sick_data / 'videos',
                 '--out', again]) == 0
    assert findings(again) == {('train_test_look_alike', 'c.mp4'),
                               ('too_short', 'short.mp4')}


def test_healthy_data_and_later_runs(sick_data, tmp_path, capsys):
    data = Path(shutil.copytree(sick_data, tmp_path / 'data'))
    write_clip(data / 'videos/narrow.mp4', 12, size=(48, 64))
    write_files(data / 'lists', train='a.mp4 0; b.mp4 1; narrow.mp4 0',
                val='e.mp4 0; f.mp4 1', classes='run; jump')
    out = tmp_path / 'out'
    args = arguments(data, '--out', out)
    assert main(args) == 0
    assert 'No problem found.' in capsys.readouterr().out
    assert not findings(out)
    assert 'narrow.mp4 0' in (out / 'clean/train.txt').read_text()
    assert 'train.txt,0,run,2,2' in (out / 'classes.csv').read_text()
    before, stamp = files_in(out), (out / 'report.json').stat().st_mtime_ns
    assert main(args) == 0
    assert (out / 'report.json').stat().st_mtime_ns == stamp
    # Other options: refused at once.
    refused(capsys, 'check-data', *args, '--min-frames', 3, names='--force')
    # The same question with another answer: what took long is not lost.
    (data / 'videos/e.mp4').unlink()
    assert main(args) == 1
    assert files_in(out) == before
    assert ('missing', 'e.mp4') in findings(tmp_path / 'out_2')
    assert 'kept' in capsys.readouterr().out
    assert main([*args, '--force']) == 1
    assert ('missing', 'e.mp4') in findings(out)
    assert sorted(os.listdir(tmp_path)) == ['data', 'out', 'out_2']


@pytest.mark.parametrize('name, content', [
    *(('report.json', text) for text in (
        '{"inputs": 3, "files": 4}', '{"inputs": {"a": 1}, "files": [["x"]]}',
        '{"inputs": {"a": 1}, "files": "report.json"}', '[1]', '[' * 100000)),
    ('thesis.txt', 'years'), ('mine', None)])
def test_foreign_files_are_spared(sick_data, tmp_path, capsys, name, content):
    path = tmp_path / name
    path.mkdir() if content is None else path.write_text(content)
    refused(capsys, 'check-data', *arguments(
        sick_data, '--out', tmp_path, '--force'), names=name)
    assert os.listdir(tmp_path) == [name]
    assert content is None or path.read_text() == content


def test_lists_in_the_working_directory(sick_data, tmp_path, monkeypatch):
    lists = shutil.copytree(sick_data / 'lists', tmp_path / 'here')
    monkeypatch.chdir(lists)
    args = ['.', '--videos', sick_data / 'videos']
    assert main(args) == 1
    assert ('missing', 'gone.mp4') in findings(lists / 'work_dirs/check/here')
    assert main([*args, '--out', '.']) == 2


def test_lists_given_one_by_one(sick_data, tmp_path):
    lists = write_files(
        tmp_path / 'lists', mine='a.mp4 0; d.mp4 1; x\0.mp4 0; x\0/a.mp4 0',
        other='d.mp4 1; e.mp4 0', names='run; jump')
    out, args = tmp_path / 'out', ['--videos', sick_data / 'videos', '--out']
    assert main([*args, out, '--train', lists / 'mine.txt', '--val',
                 lists / 'other.txt', '--classes', lists / 'names.txt']) == 1
    assert '`x?.mp4`' in (out / 'report.md').read_text()  # drives nothing
    # a name that no file can have is one finding
    assert findings(out) == {
        ('train_test', 'd.mp4'), ('unreadable', 'x\0.mp4'),
        ('unreadable', 'x\0/a.mp4')}
    # Without roles there is no leak to be seen, and that is said.
    assert main([lists / 'other.txt', *args, tmp_path / 'out2']) == 0
    assert findings(tmp_path / 'out2') == {('not_checked', 'other.txt')}


def test_paths_that_mean_something_else(sick_data, tmp_path):
    """Frame folders, paths of Windows and a number behind a path."""
    videos = tmp_path / 'videos'
    write_clip(videos / 'd' / 'a.mp4', 0)
    (videos / 'v1').mkdir()
    (videos / 'v1' / 'img_00001.jpg').write_bytes(b'\xff\xd8 no video')
    lists = write_files(tmp_path / 'lists', train='d/a.mp4 0; v1 0; '
                        'v1 24 0; d\\a.mp4 0; v1/img_00001.jpg 0')
    out = tmp_path / 'out'
    assert main([lists / 'train.txt', '--videos', videos, '--out', out]) == 1
    details = {item['subject']: item['detail'] for item in json.loads(
        (out / 'report.json').read_text())['findings']}
    for path, words in (('v1.mp4', 'ffmpeg'), ('v1 24.mp4', 'RawframeDataset'),
                        ('d\\a.mp4', 'write /'),
                        ('v1/img_00001.jpg', 'v1/*.jpg')):
        assert words in details[path]


def test_captions_and_counts(sick_data, tmp_path):
    folder, out = tmp_path / 'msrvtt', tmp_path / 'out'
    folder.mkdir()
    (folder / 'train_9k.json').write_text(
        '{"a.mp4": ["x"], "f.mp4": ["Hühnchen", "two"], "gone.mp4": ["one"],'
        '"b.mp4": []}')
    (folder / 'test_JSFUSION.json').write_text('{"a.mp4": ["y"]}')
    args = [folder, '--videos', sick_data / 'videos', '--out', out]
    assert main(args) == 1
    assert findings(out) == {
        ('train_test', 'a.mp4'), ('missing', 'gone.mp4'),
        ('captions', 'b.mp4'), ('counts', 'train_9k.json'),
        ('counts', 'test_JSFUSION.json')}
    # in the list's order, not escaped
    assert (out / 'clean/train_9k.json').read_text().split() == [
        '{', '"f.mp4":', '[', '"Hühnchen",', '"two"', '],', '"b.mp4":', '[]',
        '}']
    main([*args, '--dataset', 'none', '--force'])
    assert not any(check == 'counts' for check, _ in findings(out))


@pytest.mark.parametrize('change, name', [
    (['--videos', 'nowhere'], 'nowhere'),
    (['--videos', '{lists}'], '--videos'),
    (['--workers', '0'], '--workers'),
    (['--timeout', '1e20'], '--timeout'),
    (['--classes', '{root}/nowhere.txt'], 'nowhere.txt'),
    (['--train', '{lists}/val.txt', '--val', '{lists}/../lists/val.txt'],
     '--val'),
    (['--dataset', 'mine'], '--dataset'),
    (['{root}/none.txt'], 'none.txt'),
    (['{root}/bad_val.txt'], 'bad_val.txt:3'),
    # originals are no place for the report
    *((['--out', '{root}/' + out, '--force'], '--out')
      for out in ('lists', 'videos/report', 'lists/x', '.')),
    # a folder that cannot be written is said before the videos are read
    *((['--out', out], f'--out {out} ') for out in (
        '/proc/x', f'{__file__}/x'))])
def test_wrong_usage(sick_data, tmp_path, capsys, monkeypatch, change, name):
    monkeypatch.setattr('projects.vifi_clip_tools.doctor.run.look_at_videos',
                        Mock(side_effect=AssertionError))
    change = [each.format(lists=sick_data / 'lists', root=sick_data)
              for each in change]
    args = arguments(sick_data, '--out', tmp_path / 'out')
    before = files_in(sick_data)
    args = change + args if '.txt' in change[0] else args + change
    refused(capsys, 'check-data', *args, names=name)
    refused(capsys, 'check-data', names='list')  # none given
    assert not os.listdir(tmp_path) and files_in(sick_data) == before


HANGING = f'''
import sys
from projects.vifi_clip.datasets import contained_video
from projects.vifi_clip_tools.cli.main import main

contained_video._CODE = contained_video._CODE.replace(
    'serve(', {BAD_DECODER!r} + 'serve(')
sys.exit(main(['check-data', *sys.argv[1:]]))
'''


@pytest.mark.slow
@pytest.mark.parametrize('sign, code', [
    (signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_interrupt_leaves_nothing(tmp_path, sign, code):
    names = ['a/hang.mp4', 'b/hang.mp4']
    for seed, name in enumerate(names):
        write_clip(tmp_path / 'data/videos' / name, seed)
    write_files(tmp_path / 'data/lists', classes='run; jump',
                train='; '.join(f'{name} 0' for name in names))
    process = subprocess.Popen(
        [sys.executable, '-c', HANGING,
         *arguments(tmp_path / 'data', '--out', tmp_path / 'out/put')],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True)
    with process:
        wait_for(lambda: len(children_of(process.pid)) == 2
                 or process.poll() is not None)
        children = children_of(process.pid)
        # Ctrl-C goes to the whole group
        kill = os.killpg if sign == signal.SIGINT else os.kill
        kill(process.pid, sign)
        assert process.wait(timeout=30) == code and len(children) == 2
        wait_for(lambda: not any(map(is_alive, children)))
        assert 'Traceback' not in process.stderr.read()
    assert not (tmp_path / 'out').exists()


def children_of(parent):
    lines = subprocess.run(['ps', '-eo', 'pid=,ppid='], text=True,
                           capture_output=True, check=True).stdout
    return [pid for pid, ppid in map(str.split, lines.splitlines())
            if ppid == str(parent)]


def is_alive(pid):
    try:
        return Path(f'/proc/{pid}/cmdline').read_text() != ''
    except OSError:
        return False


def wait_for(condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
