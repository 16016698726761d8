"""`vifi-clip attention` with the weights that ship with the package; heat maps
over frames, and the pictures made of them."""
import shlex

import av
import numpy as np
import pytest
from commands import refused, vifi
from helpers import write_mp4
from PIL import Image

from projects.vifi_clip_tools.attention.command import parse_args
from projects.vifi_clip_tools.attention.figures import (
    Row, Scores, draw_frames, draw_grid, video_rate)
from projects.vifi_clip_tools.attention.maps import METHODS, attention_maps
from projects.vifi_clip_tools.attention.overlay import overlay
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


def test_the_small_world_looks_at_its_object(clip, small_inferencer):
    sample = small_inferencer.sample(clip)
    before = small_inferencer.video_scores(sample.images)
    _, poses, _ = stage_clip(JOB)
    rows, columns = np.mgrid[:5, :5] * 12 + 8  # centres, of 64 x 64 pixels
    for method in METHODS:
        maps = attention_maps(small_inferencer.model, sample.images, method,
                              text='a red ring spinning')
        inside = []
        for index, values in zip(sample.indices, maps):
            away = np.hypot(columns / 64 - poses.x[index],
                            rows / 64 - poses.y[index])
            near = away <= poses.radius[index] + 0.1
            inside.append(values[near].mean() / values[~near].mean())
        assert np.mean(inside) > 2, method
    np.testing.assert_array_equal(
        small_inferencer.video_scores(sample.images), before)


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
    ('clip.mp4', '--out'), ('clip.mp4 --out a.jpg', '.png'),
    ('clip.mp4 --out taken.png', 'taken.png'),
    ('clip.mp4 --video clip.mp4 --overwrite', '--video'),  # the clip itself
    *((f'clip.mp4 --out a.png {words}', names) for words, names in (
        ('--text " "', '--text'), ('--text cat --method last', '--text'),
        ('--method heat', 'heat'), ('--frames 0', '--frames'),
        ('--video-frames 1001', '--video-frames'),
        ('--labels a,,b', '--labels'), ('--precision bf16', '--precision'),
        ('--names A B', '--names'), ('--checkpoint none none', '--names'),
        ('--checkpoint no.pth', 'no.pth'))),
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


def _grey(count=2, size=(40, 60)):
    return np.full((count, *size, 3), 128, dtype=np.uint8)


def _peak(row, column, count=2):
    maps = np.zeros((count, 4, 6), dtype=np.float32)
    maps[:, row, column] = 1
    return maps


def test_high_values_cover_and_low_ones_leave_the_frame():
    images = _grey()
    shown = overlay(images, _peak(1, 4)).astype(int)
    assert shown.shape == images.shape
    changed = np.abs(shown - images).sum(-1)
    where = np.unravel_index(changed[0].argmax(), changed[0].shape)
    assert 10 <= where[0] < 20 and 40 <= where[1] < 50
    red, green, blue = shown[0, 15, 45]
    assert red > 170 and red > green + 60 and red > blue + 60
    assert (shown[:, 30:, :20] == 128).all()
    assert (images == 128).all()
    even = overlay(images, np.full((2, 4, 6), 0.3))  # nothing stands out
    np.testing.assert_array_equal(even, images)


def test_scale_is_the_videos_the_frames_or_given():
    images, maps = _grey(), _peak(1, 4)
    maps[1] *= 0.3

    def change(**kwargs):
        shown = overlay(images, maps, **kwargs).astype(int)
        return np.abs(shown - 128).sum((1, 2, 3))

    first, second = change()
    assert first > 2 * second
    first, second = change(per_frame=True)
    assert first == second
    assert change(value_limits=(0, 10)).max() < 0.3 * first


@pytest.mark.parametrize('images, maps', [
    (_grey(3), _peak(1, 4)), (_grey().astype(float), _peak(1, 4)),
    (_grey(), _peak(1, 4)[0]), (_grey(), _peak(1, 4) * np.nan)])
def test_bad_overlays(images, maps):
    with pytest.raises(ValueError):
        overlay(images, maps)


COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40),
           (40, 200, 200)]


def _rows(size=(60, 60)):
    """Frames that are told apart by their colour; maps show nothing."""
    images = np.stack([np.full((*size, 3), c, dtype=np.uint8)
                       for c in COLOURS])
    maps = np.full((5, 5, 5), 0.04, dtype=np.float32)
    return [Row(model, method, text, images, maps)
            for method, text in (('rollout', None), ('gradient', 'a text'))
            for model in 'AB']


SCORES = [Scores(model, ['dog', 'cat'], [0.75, 0.25]) for model in 'AB']


def _area(picture, colour):
    distance = np.abs(picture.astype(int) - colour).max(-1)
    return (distance < 12).sum()


def test_grid_has_all_rows_and_chosen_frames():
    picture = np.asarray(draw_grid('a clip.mp4', _rows(), SCORES,
                                   [0.1, 0.5, 0.9, 1.3, 1.7], columns=3))
    # nothing is cut off at the edges
    for edge in picture[0], picture[-1], picture[:, 0], picture[:, -1]:
        assert (edge == 255).all()
    for number, colour in enumerate(COLOURS):
        assert _area(picture, colour) / 180**2 == pytest.approx(
            5 if number in (0, 2, 4) else 0, abs=0.15)


def test_video_shows_each_frame():
    frames = list(draw_frames(_rows(size=(61, 61)), SCORES,
                              [0., 0.2, 0.4, 0.6, 0.8]))
    assert len(frames) == 5
    for picture, colour in zip(frames, COLOURS):
        height, width = picture.shape[:2]
        assert height % 2 == 0 and width % 2 == 0
        # 2 models, each with its frame and 2 overlays
        assert _area(picture, colour) / 256**2 == pytest.approx(6, abs=0.2)


def test_rate_is_the_clips_within_bounds():
    assert video_rate([0.]) == 4
    assert video_rate(np.arange(10) / 12.5) == pytest.approx(12.5)
    assert video_rate(np.arange(10) * 60.) == 4
    assert video_rate(np.arange(10) / 120) == 30
