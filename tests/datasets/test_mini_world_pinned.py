"""What the small world showed in version 1, it shows for good.

Results that were published for the training set stay comparable only if
later versions add clips and never change one. The figures were taken from
version 1: grey levels of 4 x 4 tiles, means over all frames. A file's hash
would tell encoders apart as well, and these compare whatever the machine.
"""
import numpy as np
import pytest

from projects.vifi_clip_tools.mini_world.clips import (Job, render_clip,
                                                       render_still)
from projects.vifi_clip_tools.mini_world.world import VideoClass


def tiles(frames):
    return frames.reshape(-1, 4, 16, 4, 16, 3).mean(axis=(0, 2, 4, 5)).ravel()


@pytest.mark.parametrize('path, length, rate, expected', [
    ('videos/red-ring-bouncing/train_000.mp4', 26, 15, [
        94.5, 96.1, 97.5, 95.7, 99.1, 88.9, 89.2, 97.6, 94.8, 90.4, 95.6, 96.5,
        98.5, 97.8, 94.1, 96.7
    ]),
    ('videos/purple-arrow-orbiting/val_009.mp4', 46, 25, [
        72.9, 76.0, 68.7, 62.9, 74.6, 75.7, 71.3, 71.9, 71.9, 67.9, 68.2, 76.0,
        72.7, 66.6, 67.3, 70.5
    ]),
])
def test_clips_stay(path, length, rate, expected):
    cls = VideoClass(*path.split('/')[1].split('-'))
    frames, fps = render_clip(Job(path, 0, 64, cls))
    assert (len(frames), fps) == (length, rate)
    np.testing.assert_allclose(tiles(frames), expected, atol=0.2)


def test_stills_stay():
    frames, caption = render_still(Job('stills/0007.jpg', 0, 64))
    assert caption == 'a medium-sized red cross in the middle'
    np.testing.assert_allclose(
        tiles(frames), [
            125.9, 127.7, 125.2, 128.0, 128.2, 120.9, 124.4, 124.4, 124.6,
            109.4, 106.0, 127.1, 127.3, 124.1, 125.3, 127.3
        ],
        atol=0.2)
