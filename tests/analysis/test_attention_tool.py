"""`vifi-clip attention` with the weights that ship with the package."""
import io

import av
import numpy as np
import pytest
from helpers import write_mp4
from PIL import Image

from projects.vifi_clip_tools.attention.command import (main, model_names,
                                                        parse_args)
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.attention.maps import METHODS, attention_maps
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.mini_world.clips import (Job, render_clip,
                                                       stage_clip)
from projects.vifi_clip_tools.mini_world.world import VideoClass

LABELS = 'a green heart spinning, a red ring spinning, a blue star pulsing'
JOB = Job('videos/clip.mp4', 5, 64, VideoClass('red', 'ring', 'spinning'))


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    frames, fps = render_clip(JOB)
    path = tmp_path_factory.mktemp('clips') / 'clip.mp4'
    return write_mp4(path, frames=frames, fps=fps)


@pytest.fixture(scope='module')
def inferencer():
    return ViFiCLIPInferencer('small_world', device='cpu')


def test_the_small_world_looks_at_its_object(inferencer, clip):
    sample = inferencer.sample(clip)
    _, poses, _ = stage_clip(JOB)
    rows, columns = np.mgrid[:5, :5] * 12 + 8  # centres, of 64 x 64 pixels
    for method in METHODS:
        maps = attention_maps(inferencer.model, sample.images, method,
                              text='a red ring spinning')
        inside = []
        for index, values in zip(sample.indices, maps):
            away = np.hypot(columns / 64 - poses.x[index],
                            rows / 64 - poses.y[index])
            near = away <= poses.radius[index] + 0.1
            inside.append(values[near].mean() / values[~near].mean())
        assert np.mean(inside) > 2, method


def test_maps_of_an_inferencers_frames_change_nothing(inferencer, clip):
    images = inferencer.sample(clip).images
    before = inferencer.video_scores(images)
    attention_maps(inferencer.model, images, 'gradient', class_index=0)
    np.testing.assert_array_equal(inferencer.video_scores(images), before)


def test_all_three_files(clip, tmp_path, capsys):
    out, video, npz = (tmp_path / name for name in ('new/grid.png', 'o.mp4',
                                                    'maps.npz'))
    main([clip, '--config', 'small_world', '--labels', LABELS, '--out',
          str(out), '--video', str(video), '--npz', str(npz), '--device',
          'cpu', '--frames', '3', '--video-frames', '12'])
    printed = capsys.readouterr().out
    assert 'a red ring spinning' in printed and str(out) in printed
    assert max(map(len, printed.replace(str(tmp_path), '').splitlines())) < 80
    grid = Image.open(out)
    assert grid.size[1] > 4 * 180  # frames and three methods
    saved = np.load(npz)
    for method in METHODS:
        assert saved[f'maps/small_world/{method}'].shape == (8, 5, 5)
    assert saved['images/small_world'].shape == (8, 60, 60, 3)
    assert saved['labels/small_world'][0] == 'a red ring spinning'
    assert saved['text/small_world'] == 'a red ring spinning'
    assert saved['scores/small_world'].sum() == pytest.approx(1, abs=1e-5)
    assert len(saved['times']) == len(saved['indices']) == 8
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12
    assert not list(tmp_path.glob('.*'))


def test_two_models_side_by_side(clip, tmp_path):
    npz, png = tmp_path / 'maps.npz', tmp_path / 'grid.png'
    main([clip, '--config', 'small_world', 'small_world', '--names', 'A', 'B',
          '--method', 'last', 'gradient', '--text', 'a blue star', '--npz',
          str(npz), '--out', str(png), '--labels', LABELS, '--device', 'cpu',
          '--per-frame'])
    saved = np.load(npz)
    for method in ('last', 'gradient'):
        np.testing.assert_array_equal(saved[f'maps/A/{method}'],
                                      saved[f'maps/B/{method}'])
    assert saved['text/B'] == 'a blue star'
    picture = np.asarray(Image.open(io.BytesIO(png.read_bytes())))
    assert picture.shape[0] > 5 * 180


@pytest.mark.parametrize('options, message', [
    ([], 'nothing to write'),
    (['--out', 'a.jpg'], '--out writes a .png file'),
    (['--out', 'taken.png'], 'exists; choose another name'),
    (['--out', 'taken.png/a.png'], 'cannot be written'),
    (['--out', 'a.png', '--text', ' '], '--text is empty'),
    (['--out', 'a.png', '--text', 'cat', '--method', 'last'],
     'is for --method gradient'),
    (['--out', 'a.png', '--frames', '0'], '--frames 0: from 1 to 32'),
    (['--out', 'a.png', '--labels', 'a,,b'], 'empty'),
    (['--out', 'a.png', '--precision', 'bf16'], 'leave out --precision'),
    (['--out', 'a.png', '--names', 'A', 'B'], '2 names for 1 models'),
    (['--out', 'a.png', '--checkpoint', 'none', 'none'], 'two models'),
    (['--out', 'a.png', '--config', 'no_such'], "'no_such' does not exist"),
    (['--out', 'a.png', '--checkpoint', 'no.pth'], "'no.pth' does not exist"),
])
def test_bad_options(options, message, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'taken.png').write_bytes(b'mine')
    config = [] if '--config' in options else ['--config', 'small_world']
    assert run_main(main, [clip, *config, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error
    assert (tmp_path / 'taken.png').read_bytes() == b'mine'


@pytest.mark.parametrize('name, message', [
    ('absent.mp4', 'No such video: absent.mp4'),
    ('broken.mp4', 'broken.mp4 cannot be read'),
    ('empty', 'has no videos')])
def test_bad_videos(name, message, tmp_path, monkeypatch, capsys):
    """Said before any model is loaded: the checkpoint is not looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    (tmp_path / 'empty').mkdir()
    assert run_main(main, [name, '--config', 'small_world', '--checkpoint',
                           'absent.pth', '--out', 'a.png']) == 2
    assert message in capsys.readouterr().err


def test_unknown_method_is_argparses_error(capsys):
    with pytest.raises(SystemExit) as error:
        parse_args(['a.mp4', '--method', 'heat'])
    assert error.value.code == 2
    assert "'heat'" in capsys.readouterr().err


@pytest.mark.parametrize('configs, checkpoints, names', [
    (['small_world'], [None], ['small_world']),
    (['configs/vifi_k400.py'], ['none', 'runs/best.pth'],
     ['vifi_k400', 'best']),
    (['a.py', 'b.py'], [None], ['a', 'b'])])
def test_names_of_models(configs, checkpoints, names):
    assert model_names(configs, checkpoints) == names
