"""`vifi-clip attention` with the weights that ship with the package."""
import shlex

import av
import numpy as np
import pytest
from commands import refused, vifi
from helpers import write_mp4
from PIL import Image

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.attention.command import parse_args
from projects.vifi_clip_tools.attention.maps import METHODS, attention_maps
from projects.vifi_clip_tools.mini_world.clips import (Job, render_clip,
                                                       stage_clip)
from projects.vifi_clip_tools.mini_world.world import VideoClass

LABELS = 'a green heart spinning, a red ring spinning, a blue star pulsing'
JOB = Job('videos/clip.mp4', 5, 64, VideoClass('red', 'ring', 'spinning'))
SMALL = '--config', 'small_world', '--device', 'cpu'


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    frames, fps = render_clip(JOB)
    path = tmp_path_factory.mktemp('clips') / 'clip.mp4'
    return write_mp4(path, frames=frames, fps=fps)


def test_the_small_world_looks_at_its_object(clip):
    inferencer = ViFiCLIPInferencer('small_world', device='cpu')
    sample = inferencer.sample(clip)
    before = inferencer.video_scores(sample.images)
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
    np.testing.assert_array_equal(inferencer.video_scores(sample.images),
                                  before)


def test_all_three_files(clip, tmp_path, capsys):
    out, video, npz = (tmp_path / name for name in ('new/grid.png', 'o.mp4',
                                                    'maps.npz'))
    assert vifi('attention', clip, *SMALL, '--labels', LABELS, '--out', out,
                '--video', video, '--npz', npz, '--frames', '3',
                '--video-frames', '12') == 0
    printed = capsys.readouterr().out
    assert 'a red ring spinning' in printed and str(out) in printed
    assert Image.open(out).size[1] > 4 * 180  # frames and three methods
    saved = np.load(npz)
    for method in METHODS:
        assert saved[f'maps/small_world/{method}'].shape == (8, 5, 5)
    assert saved['images/small_world'].shape == (8, 60, 60, 3)
    assert saved['labels/small_world'][0] == 'a red ring spinning'
    assert saved['text/small_world'] == 'a red ring spinning'
    assert saved['scores/small_world'].sum() == pytest.approx(1, abs=1e-5)
    assert len(saved['times']) == len(saved['indices']) == 8
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == 'h264'
        assert stream.codec_context.pix_fmt == 'yuv420p'
        assert sum(1 for _ in container.decode(stream)) == 12


@pytest.mark.slow
def test_two_models_side_by_side(clip, tmp_path):
    npz, png = tmp_path / 'maps.npz', tmp_path / 'grid.png'
    assert vifi('attention', clip, *SMALL, '--checkpoint', 'none', 'none',
                '--names', 'A', 'B', '--method', 'last', 'gradient', 'last',
                '--text', 'a blue star', '--npz', npz, '--out', png,
                '--labels', LABELS, '--per-frame') == 0
    saved = np.load(npz)
    np.testing.assert_array_equal(saved['maps/A/last'], saved['maps/B/last'])
    assert saved['text/B'] == 'a blue star'
    # frames, and two methods of two models
    assert 5 * 180 < Image.open(png).size[1] < 7 * 180


@pytest.mark.parametrize('words, names', [
    ('clip.mp4', '--out'),
    ('clip.mp4 --out a.jpg', '.png'),
    ('clip.mp4 --out taken.png', 'taken.png'),
    ('clip.mp4 --video clip.mp4 --overwrite', '--video'),  # the clip itself
    ('clip.mp4 --out a.png --text " "', '--text'),
    ('clip.mp4 --out a.png --text cat --method last', '--text'),
    ('clip.mp4 --out a.png --method heat', 'heat'),
    ('clip.mp4 --out a.png --frames 0', '--frames'),
    ('clip.mp4 --out a.png --video-frames 1001', '--video-frames'),
    ('clip.mp4 --out a.png --labels a,,b', '--labels'),
    ('clip.mp4 --out a.png --precision bf16', '--precision'),
    ('clip.mp4 --out a.png --names A B', '--names'),
    ('clip.mp4 --out a.png --checkpoint none none', '--names'),
    ('clip.mp4 --out a.png --checkpoint no.pth', 'no.pth'),
    # before any model is loaded: the checkpoint is not looked for
    ('absent.mp4 --out a.png --checkpoint no.pth', 'absent.mp4'),
    ('broken.mp4 --out a.png --checkpoint no.pth', 'broken.mp4')])
def test_refusals(words, names, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    (tmp_path / 'taken.png').write_bytes(b'mine')
    (tmp_path / 'clip.mp4').symlink_to(clip)
    before = open(clip, 'rb').read()
    refused(capsys, 'attention', *shlex.split(words), *SMALL, names=names)
    assert (tmp_path / 'taken.png').read_bytes() == b'mine'
    assert open(clip, 'rb').read() == before


@pytest.mark.parametrize('models, names', [
    ('--config configs/vifi_k400.py --checkpoint none runs/best.pth',
     ['vifi_k400', 'best']),
    ('--config a.py b.py', ['a', 'b'])])
def test_names_of_models(models, names):
    options = parse_args(['clip.mp4', '--out', 'a.png', *models.split()])
    assert options.names == names
