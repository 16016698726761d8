"""The command: its files, its example, and what it refuses."""
import json
import os
import os.path as osp
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import refused, vifi
from helpers import read_index, write_mp4

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.export import checking, run

EXAMPLE = Path(run.__file__).with_name('example.py')
# Neither torch nor this project can be imported.
_ALONE = ("import sys, runpy; sys.modules['torch'] = None; "
          "sys.modules['projects'] = None; sys.argv = sys.argv[1:]; "
          "runpy.run_path(sys.argv[0], run_name='__main__')")


def run_example(folder, *args, code=0):
    """Return the classes and probabilities that the example prints, and all
    that it says."""
    done = subprocess.run(
        [sys.executable, '-c', _ALONE, osp.join(folder, 'example.py'), *args],
        capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == code, done.stderr
    return {name: float(score) / 100
            for score, name in re.findall(r'([\d.]+)%  (.+)', done.stdout)
            }, done.stdout + done.stderr


@pytest.mark.parametrize('total', [5, 23, 40])
def test_the_example_takes_the_midpoints(tmp_path, total):
    example = runpy.run_path(str(EXAMPLE))
    path = write_mp4(tmp_path / 'v.mp4', total, (64, 64))
    frames = example['read_video'](path, dict(
        num_frames=8, resize_short_side=None, image_size=(64, 64)))
    assert [read_index(frame) for frame in frames] == [
        int((i + .5) * total / 8) for i in range(8)]


@pytest.mark.slow
def test_the_example_runs_without_this_project(onnx_files, videos, tmp_path):
    infer, folder = onnx_files.infer, onnx_files.options.out
    path = str(videos / '0.mp4')
    images = infer.sample(path).images
    np.save(tmp_path / 'clip.npy', images)
    expected = dict(zip(infer.class_names, infer.video_scores(images)))
    scores, printed = run_example(folder, str(tmp_path / 'clip.npy'))
    assert scores == pytest.approx(expected, abs=1e-4)
    same = re.search(r'embeddings: the same to (\S+)', printed)
    assert float(same.group(1)) < 1e-5
    # The same video through OpenCV: the same frames, scaled and cut alike.
    scores, _ = run_example(folder, path)
    assert scores == pytest.approx(expected, abs=0.01)
    scores, _ = run_example(folder, path, 'classifier_int8.onnx')
    assert set(scores) == set(expected)
    np.save(tmp_path / 'large.npy', images.repeat(2, axis=1))
    _, said = run_example(folder, str(tmp_path / 'large.npy'), code=1)
    assert '[T, 32, 32, 3]' in said


def test_what_lies_beside_the_files(pt2_files, monkeypatch):
    assert set(os.listdir(pt2_files.options.out)) == set(
        pt2_files.options.files())
    folder, infer = Path(pt2_files.options.out), pt2_files.infer
    classes = json.loads((folder / 'classes.json').read_text())
    assert classes['class_names'] == infer.class_names
    assert classes['owners'] == [0, 0, 1, 1, 2, 2, 3, 3]
    text = (folder / 'README.md').read_text()
    assert "'decision'" in text
    monkeypatch.chdir(folder)
    space = {}
    # What people copy must run.
    exec(text.split('```python\n')[1].split('```')[0], space)
    assert space['output'].shape == (1, 4)
    extra = json.loads(space['extra']['vifi_clip.json'])
    assert extra['class_names'] == infer.class_names


COMMAND = ('export', '--config', 'small_world', '--format', 'torch-export',
           '--check-frames', 2, '--check-batches', 1)


def test_the_command(tmp_path, videos, capsys):
    out = tmp_path / 'new' / 'folder'
    args = [*COMMAND, '--out', out, '--parts', 'classifier', '--labels',
            'a cat, a dog, Öl', '--input', 'float', '--evaluate',
            videos / 'list.txt', '--root', videos]
    assert vifi(*args) == 0
    printed = capsys.readouterr().out
    assert 'classifier.pt2' in printed and '3 videos' in printed
    assert sorted(os.listdir(out)) == ['README.md', 'classes.json',
                                       'classifier.pt2']
    scores = run.open_file(str(out / 'classifier.pt2'))(
        np.zeros((2, 5, 3, 60, 60), np.float32))
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    # again: refused, and nothing is touched
    before = os.stat(out / 'classifier.pt2').st_mtime_ns
    refused(capsys, *args, names='--overwrite')
    assert os.stat(out / 'classifier.pt2').st_mtime_ns == before


@pytest.mark.parametrize('options, names', [
    (['--parts', 'video,sound'], '--parts'),
    (['--parts', 'video,video'], '--parts'),
    (['--labels', ''], 'labels'),
    (['--format', 'torch-export', '--int8'], '--int8'),
    (['--opset', '9'], '--opset'),
    (['--device', 'cuda:0'], '--device'),
    (['--precision', 'bf16'], '--precision'),
    (['--evaluate', 'absent'], 'absent'),
    (['--evaluate', 'config', '--parts', 'text'], '--parts'),
    (['--evaluate', 'config', '--root', '.'], '--root'),
    (['--out', __file__], '--out'), ([], 'vifi_clip[export]')])
def test_refusals(tmp_path, options, names, monkeypatch, capsys):
    out = tmp_path / 'out'
    if not options:  # but a library is absent
        monkeypatch.setitem(sys.modules, 'onnxscript', None)
    refused(capsys, 'export', '--out', out, *options, names=names)
    assert not out.exists() or not os.listdir(out)


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    real = run.open_file
    monkeypatch.setattr(
        run, 'open_file',
        lambda path: lambda x: real(path)(x) + np.float32(2e-4))
    (tmp_path / 'video_encoder.pt2').write_bytes(b'old')
    assert vifi(*COMMAND, '--out', tmp_path, '--parts', 'video',
                '--overwrite') == 1
    printed = capsys.readouterr()
    assert 'too large' in printed.out and 'video_encoder.pt2' in printed.err
    assert os.listdir(tmp_path) == ['video_encoder.pt2']
    assert (tmp_path / 'video_encoder.pt2').read_bytes() == b'old'


def test_accuracies_side_by_side():
    first = np.array([[.9, .1], [.6, .4], [.2, .8], [.3, .7]])
    second = np.array([[.8, .2], [.4, .6], [.2, .8], [.3, .7]])
    _, *rows, change = checking.accuracy_table(
        dict(a=first, b=second), [0, 0, 1, 0]).splitlines()
    assert [row.split() for row in rows] == [
        ['a', '75.00%', '0', '0.0e+00'], ['b', '50.00%', '1', '2.0e-01']]
    assert '-25.00' in change


def test_videos_of_a_list_and_of_a_config(pt2_files, videos, monkeypatch):
    infer, paths = pt2_files.infer, str(videos / 'list.txt')
    listed = checking.find_videos(paths, str(videos), infer)
    assert listed[2] == (str(videos / '2.mp4'), 2)
    scores, = checking.evaluate_files(
        {'a': pt2_files.file('classifier')}, listed, 'uint8', infer).values()
    np.testing.assert_allclose(scores, [
        infer.video_scores(infer.sample(path).images) for path, _ in listed],
        atol=1e-4)
    with pytest.raises(FileNotFoundError, match='3 of 3'):
        checking.find_videos(paths, str(videos.parent), infer)
    with pytest.raises(UserError):  # no test set
        checking.find_videos('config', None, infer)
    names, cfg = videos / 'names.txt', infer.cfg.copy()
    cfg.test_dataloader = dict(dataset=dict(
        ann_file='list.txt', data_root=str(videos),
        data_prefix=dict(video=''), class_file=str(names)))
    monkeypatch.setattr(infer, 'cfg', cfg)
    names.write_text('\n'.join(infer.class_names) + '\n')
    assert checking.find_videos('config', None, infer) == listed
    names.write_text('one\ntwo\n')
    with pytest.raises(UserError, match='names.txt'):
        checking.find_videos('config', None, infer)
