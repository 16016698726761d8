"""The command: its files, its example, and what it refuses."""
import json
import os
import os.path as osp
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from export_world import PIPELINE, build, config, open_once
from helpers import read_index, write_mp4

from projects.vifi_clip_tools.export.command import main, report
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.export import accuracy, run
from projects.vifi_clip_tools.export.run import (CheckError, Options,
                                                 export_model)

_NO_TORCH = ("import sys, runpy; sys.modules['torch'] = None; "
             'sys.argv = sys.argv[1:]; '
             "runpy.run_path(sys.argv[0], run_name='__main__')")


def run_example(folder, *args):
    return subprocess.run(
        [sys.executable, '-c', _NO_TORCH, osp.join(folder, 'example.py'),
         *args], capture_output=True, text=True, timeout=120)


def read_scores(text):
    """Classes and percentages that the example prints."""
    return {name: float(score) / 100
            for score, name in re.findall(r'([\d.]+)%  (.+)', text)}


@pytest.mark.parametrize('total', [5, 23, 40])
def test_the_example_takes_the_midpoints(tmp_path, total):
    example = runpy.run_path(osp.join(osp.dirname(run.__file__),
                                      'example.py'))
    path = write_mp4(tmp_path / 'v.mp4', total, (64, 64))
    frames = example['read_video'](path, dict(
        num_frames=8, resize_short_side=None, image_size=(64, 64)))
    assert [read_index(frame) for frame in frames] == [
        int((i + .5) * total / 8) for i in range(8)]


def test_the_example_needs_no_torch(onnx_files, prompted, videos, tmp_path):
    path = str(videos / '0.mp4')
    images = prompted.sample(path).images
    np.save(tmp_path / 'clip.npy', images)
    done = run_example(onnx_files.folder, str(tmp_path / 'clip.npy'))
    assert done.returncode == 0, done.stderr
    expected = dict(zip(prompted.class_names, prompted.video_scores(images)))
    assert read_scores(done.stdout) == pytest.approx(expected, abs=1e-4)
    same = re.search(r'embeddings: the same to (\S+)', done.stdout)
    assert float(same.group(1)) < 1e-5
    # The same video through OpenCV: the same frames, scaled and cut alike.
    done = run_example(onnx_files.folder, path)
    assert done.returncode == 0, done.stderr
    assert read_scores(done.stdout) == pytest.approx(expected, abs=0.01)
    # How far int8 is off, test_export_accuracy.py says.
    done = run_example(onnx_files.folder, path, 'classifier_int8.onnx')
    assert done.returncode == 0, done.stderr
    assert set(read_scores(done.stdout)) == set(expected)

    np.save(tmp_path / 'large.npy', images.repeat(2, axis=1))
    done = run_example(onnx_files.folder, str(tmp_path / 'large.npy'))
    assert done.returncode == 1
    assert 'the model takes uint8 [T, 32, 32, 3]' in done.stderr


def test_what_lies_beside_the_files(onnx_files, pt2_files, by_frame):
    assert sorted(os.listdir(pt2_files.folder)) == [
        'README.md', 'classes.json', 'classifier.pt2', 'text_encoder.pt2',
        'video_encoder.pt2']
    assert set(onnx_files.sizes) | {'README.md', 'classes.json',
                                    'example.py'} == set(
                                        os.listdir(onnx_files.folder))
    with open(osp.join(pt2_files.folder, 'classes.json')) as file:
        classes = json.load(file)
    assert classes['class_names'] == by_frame.class_names
    assert classes['owners'] == [0, 0, 1, 1, 2, 2, 3, 3]
    with open(osp.join(pt2_files.folder, 'README.md')) as file:
        text = file.read()
    assert 'mean of the frames\' unit embeddings' in text
    code = text.split('```python\n')[1].split('```')[0]
    space = {}
    here = os.getcwd()
    os.chdir(pt2_files.folder)
    try:  # what people copy must run
        exec(code, space)
    finally:
        os.chdir(here)
    assert space['output'].shape == (1, 4)
    extra = json.loads(space['extra']['vifi_clip.json'])
    assert extra['class_names'] == by_frame.class_names


def test_the_report_fits_a_terminal(onnx_files, capsys):
    onnx_files.accuracy = accuracy.summarise(
        {'classifier.onnx': np.eye(4), 'classifier_int8.onnx': np.eye(4)},
        np.arange(4))
    report(onnx_files, 4)
    onnx_files.accuracy = []
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any('9 of 11 products int8' in line for line in lines)


@pytest.fixture(scope='module')
def command(tmp_path_factory):
    """A config and a checkpoint of it, as a command line has them."""
    folder = tmp_path_factory.mktemp('command')
    infer = build()
    cfg = config()
    cfg.test_pipeline = PIPELINE
    cfg.dump(folder / 'tiny.py')
    torch.save(infer.model.state_dict(), folder / 'tiny.pth')
    return ['--config', str(folder / 'tiny.py'),
            '--checkpoint', str(folder / 'tiny.pth'),
            '--check-frames', '2', '--check-batches', '1']


def test_the_command(command, tmp_path, videos, capsys):
    out = str(tmp_path / 'new' / 'folder')
    args = [*command, '--out', out, '--format', 'torch-export', '--parts',
            'classifier', '--labels', 'a cat, a dog, Öl', '--input', 'float',
            '--evaluate', str(videos / 'list.txt'), '--root', str(videos)]
    assert run_main(main, args) == 0
    printed = capsys.readouterr().out
    assert 'classifier.pt2' in printed and '3 videos' in printed
    assert sorted(os.listdir(out)) == ['README.md', 'classes.json',
                                       'classifier.pt2']
    run_file = open_once(osp.join(out, 'classifier.pt2'))
    scores = run_file(np.zeros((2, 5, 3, 32, 32), np.float32))
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    # again: refused, and nothing is touched
    before = os.stat(osp.join(out, 'classifier.pt2')).st_mtime_ns
    assert run_main(main, args) == 2
    assert 'add --overwrite' in capsys.readouterr().err
    assert os.stat(osp.join(out, 'classifier.pt2')).st_mtime_ns == before


@pytest.mark.parametrize('options, message', [
    (['--parts', 'video,sound'], "--parts 'video,sound': give some of"),
    (['--parts', ','], 'give some of video, text, classifier'),
    (['--labels', ''], 'empty'),
    (['--labels', 'a,,b'], 'empty'),
    (['--labels', 'absent.txt'], 'absent.txt'),
    (['--check-frames', '0'], '--check-frames takes numbers from 1'),
    (['--format', 'torch-export', '--int8'], 'are for --format onnx'),
    (['--opset', '9'], '--opset 9: torch writes 18 and above'),
    (['--device', 'cuda:0'], '--device cuda:0: export traces'),
    (['--precision', 'bf16'], 'leave out --precision'),
    (['--root', '.'], '--root goes with --evaluate'),
    (['--evaluate', 'absent'], '--evaluate absent: no such list'),
    (['--evaluate', 'config', '--parts', 'text'], 'add it to --parts'),
    (['--evaluate', 'config', '--root', '.'], 'leave out --root'),
    (['--config', 'no_such'], "Config 'no_such' does not exist")])
def test_bad_options(tmp_path, options, message, capsys):
    out = tmp_path / 'out'
    assert run_main(main, ['--out', str(out), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.strip().count('\n') == 0
    assert not out.exists() or not os.listdir(out)


def test_an_unknown_format_and_a_folder_that_is_none(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        main(['--out', str(tmp_path), '--format', 'tflite'])
    assert error.value.code == 2
    assert "invalid choice: 'tflite'" in capsys.readouterr().err
    (tmp_path / 'file').touch()
    for out in (tmp_path / 'file', tmp_path / 'file' / 'under'):
        assert run_main(main, ['--out', str(out)]) == 2
        assert 'cannot be written' in capsys.readouterr().err


def test_a_file_that_differs_is_not_kept(command, tmp_path, monkeypatch,
                                         capsys):
    real = run.open_file

    def off(path):
        return lambda x: real(path)(x) + np.float32(2e-4)

    monkeypatch.setattr(run, 'open_file', off)
    (tmp_path / 'mine.txt').touch()
    with pytest.raises(SystemExit, match='differs from the model') as error:
        main([*command, '--out', str(tmp_path), '--format', 'torch-export',
              '--parts', 'video'])
    assert isinstance(error.value.code, str)  # exit code 1, on stderr
    assert 'too large' in capsys.readouterr().out
    assert os.listdir(tmp_path) == ['mine.txt']


def test_old_files_stay_if_new_ones_fail(by_frame, tmp_path, monkeypatch):
    (tmp_path / 'video_encoder.pt2').write_bytes(b'old')
    monkeypatch.setattr(
        run, 'open_file',
        lambda path: lambda x: np.zeros((1, 32), np.float32))
    with pytest.raises(CheckError):
        export_model(by_frame, str(tmp_path), Options(
            'torch-export', ['video'], frames=[2], batches=[1]))
    assert (tmp_path / 'video_encoder.pt2').read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['video_encoder.pt2']


def test_a_library_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    assert run_main(main, ['--out', str(tmp_path)]) == 2
    assert 'vifi_clip[export]' in capsys.readouterr().err
