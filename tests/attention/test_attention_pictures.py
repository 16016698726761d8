"""Heat maps over frames, and the pictures made of them."""
import io

import numpy as np
import pytest
from PIL import Image

from projects.vifi_clip_tools.attention.grid import choose, draw_grid
from projects.vifi_clip_tools.attention.overlay import (Row, Scores, enlarge,
                                                        overlay)
from projects.vifi_clip_tools.attention.video import draw_frames, video_rate


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
    assert enlarge(images, 100).shape == (2, 100, 150, 3)
    assert enlarge(images, 30) is images


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


def test_choose():
    assert [choose(*numbers) for numbers in (
        (3, 3), (3, 8), (9, 3), (32, 1))] == [
            [0, 1, 2], [0, 1, 2], [0, 4, 8], [0]]


COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40),
           (40, 200, 200)]


def _rows(count=5, models=('A', 'B'), size=(60, 60)):
    """Frames that are told apart by their colour; maps show nothing."""
    images = np.stack([np.full((*size, 3), c, dtype=np.uint8)
                       for c in COLOURS[:count]])
    maps = np.full((count, 5, 5), 0.04, dtype=np.float32)
    return [Row(model, method, text, images, maps)
            for method, text in (('rollout', None), ('gradient', 'a text'))
            for model in models]


SCORES = [Scores(model, ['dog', 'cat'], [0.75, 0.25]) for model in 'AB']


def _picture(png):
    picture = np.asarray(Image.open(io.BytesIO(png)).convert('RGB'))
    # nothing is cut off at the edges
    for edge in picture[0], picture[-1], picture[:, 0], picture[:, -1]:
        assert (edge == 255).all()
    return picture


def _area(picture, colour):
    distance = np.abs(picture.astype(int) - colour).max(-1)
    return (distance < 12).sum()


def test_grid_has_all_rows_and_chosen_frames():
    picture = _picture(draw_grid('a clip.mp4', _rows(), SCORES,
                                 [0.1, 0.5, 0.9, 1.3, 1.7], columns=3))
    for number, colour in enumerate(COLOURS):
        assert _area(picture, colour) / 180**2 == pytest.approx(
            5 if number in (0, 2, 4) else 0, abs=0.15)


def test_long_names_stay_in_the_picture():
    rows = _rows(1, models=['a model with a very long name ' * 3])
    rows[1].text = 'words ' * 40
    scores = [Scores(rows[0].model, ['label ' * 30], [1.])]
    picture = _picture(draw_grid('x' * 300, rows, scores, [0.], 8))
    assert picture.shape[1] < 700
    assert _area(picture, COLOURS[0]) == pytest.approx(3 * 180**2, rel=0.05)
    frame, = draw_frames(rows, scores, [0.])
    assert (frame[:52, 256 + 6:256 + 12] == 255).all()  # between panels
    assert (frame[:52] < 128).any(-1)[:, :256].sum() > 500  # there is text


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


def test_scale_and_scores_in_words():
    row = _rows(2)[0]
    row.maps[0, 0, 0] = 0.5  # one patch does not take the whole scale
    assert row.scale == '4% to 39%'  # 0.04 + 0.755 * (0.5 - 0.04)
    row.per_frame = True
    assert row.scale == 'own scale in each frame'
    assert SCORES[0].line() == 'dog 75%   cat 25%'
    assert _rows()[2].title == 'gradient of “a text”'
