"""Prediction on videos of one's own."""
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import write_mp4
from tools_world import PIPELINES, REPO, start

from projects.vifi_clip_tools.predict import run as predict_run
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.predict.command import main, parse_args


@pytest.fixture
def config(write_config):
    return write_config(test_pipeline=PIPELINES['test'],
                        randomness=dict(seed=0))


@pytest.fixture
def predict(config, monkeypatch):
    """The command, with the same random weights each time; its exit code."""

    def call(*argv) -> int:
        torch.manual_seed(0)
        try:
            return run_main(main, ['--config', config, '--device', 'cpu',
                                   *map(str, argv)])
        except SystemExit as end:
            return end.code

    return call


@pytest.fixture
def videos(world) -> list:
    return [str(world / f'videos/val_{i}.mp4') for i in range(5)]


def lines(path) -> list:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_scores_of_own_labels(predict, videos, tmp_path, capsys):
    assert predict(*videos[:2], '--labels', 'a cat, a dog,a cow') == 0
    printed = capsys.readouterr()
    assert all(v in printed.out for v in videos[:2])
    assert 'a cow' in printed.out
    assert max(map(len, printed.out.splitlines())) <= max(
        80, *map(len, videos))
    assert '2 videos, 3 labels, 1 view of 4 frames, on cpu' in printed.err
    out = tmp_path / 'r.jsonl'
    assert predict(*videos[:2], '--labels', 'a cat, a dog,a cow', '--out',
                   out) == 0
    results = lines(out)
    assert [result['video'] for result in results] == videos[:2]
    for result in results:
        scores = dict(zip(result['labels'], result['scores']))
        assert set(scores) == {'a cat', 'a dog', 'a cow'}
        assert abs(sum(scores.values()) - 1) < 1e-5
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
        assert result['label'] == result['labels'][0]
        for label, score in scores.items():
            assert f'{100 * score:5.1f}%' in printed.out


def test_labels_from_a_file_and_the_config(predict, shared_world, videos,
                                           tmp_path):
    path = tmp_path / 'labels.txt'
    path.write_text('one\ntwo\n')
    predict(videos[0], '--labels', path, '--out', tmp_path / 'a.jsonl')
    assert set(lines(tmp_path / 'a.jsonl')[0]['labels']) == {'one', 'two'}
    predict(videos[0], '--topk', '2', '--out', tmp_path / 'b.jsonl')
    names = (shared_world / 'classes.txt').read_text().splitlines()
    result, = lines(tmp_path / 'b.jsonl')
    assert len(result['scores']) == len(result['labels']) == 2
    assert set(result['labels']) <= set(names)


@pytest.mark.parametrize('video, options, message', [
    ('absent.mp4', [], 'No such video: absent.mp4'),
    ('empty.mp4', [], 'empty.mp4 cannot be read'),
    ('videos/val_0.mp4', ['--labels', 'a,,b'], 'empty'),
    ('videos/val_0.mp4', ['--labels', 'a,b,a'], "'a'"),
    ('videos/val_0.mp4', ['--labels', 'no.txt'], 'no.txt'),
    ('videos/val_0.mp4', ['--labels', ''], 'empty'),
    ('videos/val_0.mp4', ['--labels', 'videos'], 'no list of classes'),
    ('videos/val_0.mp4', ['--topk', '0'], 'at least 1'),
    ('videos/val_0.mp4', ['--batch-size', '0'], '--batch-size'),
    ('videos/val_0.mp4', ['--threshold', '2'], '--threshold'),
    ('videos/val_0.mp4', ['--window', '0'], '--window'),
    ('videos/val_0.mp4', ['--stride', '-1'], '--stride'),
    ('videos/val_0.mp4', ['--timeout', 'nan'], '--timeout'),
    ('videos/val_0.mp4', ['--num-views', '4x5'], '4x5'),
    ('videos/val_0.mp4', ['--template', 'no place'], '{}'),
    ('videos/val_0.mp4', ['--out', 'r.txt'], '.jsonl or .csv'),
    ('videos/val_0.mp4', ['--out', 'train.txt/r.csv'], 'cannot be written'),
    ('videos/val_0.mp4', ['--save-video', 'train.txt'], '--save-video'),
    ('videos/val_0.mp4', ['--timeline', 'train.txt'], '--timeline'),
    ('videos', ['--timeline', 'one.png'], 'there are 13 videos'),
    ('videos/val_0.mp4', ['--save-video', 'videos'], 'to be read'),
    ('videos/val_0.mp4', ['--device', 'cuda:77'], 'cuda:77'),
    ('videos/val_0.mp4', ['--list', 'gone'], 'gone'),
    ('camera:x', [], 'camera:0'), ('none', [], 'no videos')])
def test_bad_input_is_one_message(predict, world, video, options, message,
                                  capsys, monkeypatch):
    monkeypatch.chdir(world)
    (world / 'empty.mp4').touch()
    (world / 'none').mkdir()
    assert predict(video, *options) == 2
    said = capsys.readouterr()
    error, = [line for line in said.err.splitlines() if 'error: ' in line]
    assert message in error and 'Traceback' not in said.err
    assert not said.out


def test_one_bad_video_stops_nothing(predict, videos, world, tmp_path,
                                     capsys):
    bad = world / 'videos' / 'bad.mp4'
    bad.write_text('text')
    given = [videos[0], bad, videos[1]]
    assert predict(*given, '--labels', 'a, b') == 1
    said = capsys.readouterr()
    assert videos[1] in said.out and str(bad) not in said.out
    assert '1 of 3 videos could not be read:' in said.err
    assert 'Invalid data' in said.err
    for name in 'r.jsonl', 'r.csv':
        assert predict(*given, '--labels', 'a, b', '--batch-size', '2',
                       '--out', tmp_path / name) == 1
        assert '2 of 3 videos' in capsys.readouterr().out
    one, two, three = lines(tmp_path / 'r.jsonl')
    assert two == dict(video=str(bad), error=two['error'])
    assert 'Invalid data' in two['error'] and str(bad) not in two['error']
    with open(tmp_path / 'r.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['video'] for row in rows] == list(map(str, given))
    assert rows[1]['error'] == two['error'] and rows[1]['label'] == ''
    for row, result in zip([rows[0], rows[2]], [one, three]):
        assert row['error'] == ''
        assert row['label'] == row['label_1'] == result['label']
        assert [row['label_1'], row['label_2']] == result['labels']
        assert [float(row['score_1']), float(row['score_2'])] == pytest.approx(
            result['scores'], abs=2e-6)
        assert row['score'] == row['score_1']


def test_names_and_labels_of_all_kinds(predict, videos, tmp_path):
    odd = ['a, "b".mp4', 'höhe 視頻.mp4', 'line\nend.mp4', "'=1+1.mp4"]
    folder = tmp_path / 'odd'
    folder.mkdir()
    for name in odd:
        shutil.copy(videos[0], folder / name)
    labels = tmp_path / 'labels.json'
    labels.write_text(json.dumps(['one, two', 'drei "vier"', 'größe 猫']))
    for _ in range(2):  # what is there is found again
        for name in 'r.csv', 'r.jsonl':
            assert predict(folder, '--labels', labels, '--out',
                           tmp_path / name) == 0
    with open(tmp_path / 'r.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    expected = sorted(str(folder / name) for name in odd)
    assert [row['video'] for row in rows] == expected
    assert [r['video'] for r in lines(tmp_path / 'r.jsonl')] == expected
    assert {row['label_2'] for row in rows} <= {
        'one, two', 'drei "vier"', 'größe 猫'}
    assert '視頻' in (tmp_path / 'r.jsonl').read_text(encoding='utf-8')


def test_none_of_these(predict, videos, tmp_path, capsys):
    out = tmp_path / 'r.csv'
    assert predict(videos[0], '--labels', 'a, b', '--threshold', '1') == 0
    assert 'none of these; the nearest:' in capsys.readouterr().out
    predict(videos[0], '--labels', 'a, b', '--threshold', '1', '--out', out)
    with open(out, newline='') as file:
        row, = csv.DictReader(file)
    assert row['label'] == 'none of these' and row['label_1'] in 'ab'
    assert predict(videos[0], '--labels', 'a', '--threshold', '1') == 2
    assert 'one label' in capsys.readouterr().err


def test_views_are_said_once(predict, videos, capsys):
    assert predict(videos[0], '--num-views', '4x3') == 0
    assert capsys.readouterr().err.count('12 views of 4 frames') == 1


def test_names_of_standard_input_and_lists(predict, videos, tmp_path,
                                           monkeypatch, capsys):
    import io
    monkeypatch.setattr(sys, 'stdin', io.StringIO(f'{videos[1]}\r\n\n'))
    (tmp_path / 'list').write_text(f'gone.mp4\n{videos[2]}\n')
    out = tmp_path / 'r.jsonl'
    assert predict(videos[0], '-', '--list', tmp_path / 'list', '--out',
                   out) == 1
    assert [r['video'] for r in lines(out)] == [
        videos[0], videos[1], 'gone.mp4', videos[2]]
    assert 'No such file' in lines(out)[2]['error']
    assert predict() == 2
    assert 'no videos were given' in capsys.readouterr().err


def test_options_may_stand_anywhere():
    args = parse_args(['--topk', '3', 'a.mp4', 'b.mp4', '--labels', 'x'])
    assert args.videos == ['a.mp4', 'b.mp4'] and args.topk == 3


def test_precision(predict, videos, tmp_path):
    """What --amp was, and was ignored."""
    for precision in 'fp32', 'autocast':
        predict(videos[0], '--precision', precision, '--out',
                tmp_path / f'{precision}.jsonl')
    fp32, autocast = (lines(tmp_path / f'{name}.jsonl')[0]
                      for name in ('fp32', 'autocast'))
    score = dict(zip(autocast['labels'], autocast['scores']))
    scores = [score[label] for label in fp32['labels']]
    assert scores != fp32['scores']
    assert scores == pytest.approx(fp32['scores'], abs=.05)


def test_camera(predict, monkeypatch, capsys):
    class Gone:
        def isOpened(self):
            return False

        def release(self):
            pass

    monkeypatch.setattr('cv2.VideoCapture', lambda number: Gone())
    assert predict('camera:0') == 2
    assert 'error: camera:0 cannot be read: no camera 0' in (
        capsys.readouterr().err)


def test_interrupted(predict, videos, tmp_path, monkeypatch, capsys):
    """Ctrl-C after two videos: what is done is kept, and said."""
    out = tmp_path / 'r.jsonl'
    encode = predict_run.PredictionFile.writer

    def writer(self, *args):
        found = encode(self, *args)
        add, count = found.add, []

        def stop(result):
            if len(count) == 2:
                raise KeyboardInterrupt
            count.append(add(result))

        found.add = stop
        return found

    monkeypatch.setattr(predict_run.PredictionFile, 'writer', writer)
    with pytest.raises(KeyboardInterrupt):
        predict(*videos, '--out', out)
    assert 'goes on from here' in capsys.readouterr().err
    assert [r['video'] for r in lines(out)] == videos[:2]
    monkeypatch.undo()
    assert predict(*videos, '--out', out) == 0
    assert '2 of 5 were done before' in capsys.readouterr().err
    assert [r['video'] for r in lines(out)] == videos


def run_shell(*command, cwd) -> tuple:
    process = start(*command, cwd=cwd)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def test_several_processes(predict, config, videos, world, tmp_path):
    """They share the work, and go on with that of another number; the
    command itself, from another folder."""
    (world / 'videos' / 'val_bad.mp4').touch()
    folder = str(world / 'videos')
    model = ['--config', 'small_world', '--device', 'cpu', '--topk', '2']
    one, two = tmp_path / 'one.jsonl', tmp_path / 'two.jsonl'
    try:
        code = main([folder, *model, '--out', str(one)])
    except SystemExit as end:
        code = end.code
    assert code == 1 and len(lines(one)) == 14
    # stopped: a whole line, a failed one, a half one; another's part
    kept = [json.dumps(r) for r in lines(one)]
    fake = json.loads(kept[3])
    fake['scores'] = [.25, .125]  # not made again
    two.write_text(f'{json.dumps(fake)}\n{kept[13]}\n{kept[0][:40]}')
    (tmp_path / 'two.jsonl.part3').write_text(kept[5] + '\n')
    shutil.copy(f'{one}.meta.json', f'{two}.meta.json')
    code, output = run_shell(
        Path(sys.executable).parent / 'torchrun', '--nproc_per_node', '2',
        '--master-port', '29533', REPO / 'tools' / 'predict.py', folder,
        *model, '--out', two, cwd=tmp_path)
    assert code == 1, output
    assert f'{two}: 2 of 14 were done before' in output
    assert output.count('could not be read:') == 1
    results, expected = lines(two), lines(one)
    assert results[3] == fake
    for i, (result, wanted) in enumerate(zip(results, expected)):
        if i != 3 and 'error' not in wanted:
            assert result['scores'] == pytest.approx(wanted['scores'],
                                                     abs=1e-5)
            assert result['labels'] == wanted['labels']
        elif i != 3:
            assert result == wanted
    assert len(results) == len(expected) == 14
    assert not list(tmp_path.glob('*.part*'))


def test_several_processes_need_a_file(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert run_main(main, ['a.mp4']) == 2
    assert 'need --out' in capsys.readouterr().err
    assert run_main(main, ['-', '--out', 'r.csv']) == 2
    assert '--list' in capsys.readouterr().err


def test_standard_output_is_for_results(tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 8, (64, 64))
    found = subprocess.run(
        [sys.executable, REPO / 'tools' / 'predict.py', path, '--config',
         'small_world', '--device', 'cpu', '--labels',
         'a ring, a star, ' + 'very ' * 15 + 'long label'], cwd=tmp_path,
        capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    first, *rest = found.stdout.splitlines()
    assert first == path and len(rest) == 4  # the long label has two lines
    assert max(map(len, rest)) <= 80
    assert found.stderr == ('1 video, 3 labels, 1 view of 8 frames, on cpu\n')
