"""Videos with labels over them, and scores over time."""
import io
import os
import weakref
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import coded_frame, read_index, write_mp4, write_video
from PIL import Image

from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.apis.pipeline import Sampled, Timeline
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.predict.command import parse_args
from projects.vifi_clip_tools.predict.drawing import (draw_panel,
                                                      draw_timeline, labelled,
                                                      save_video)
from projects.vifi_clip_tools.predict.pictures import Pictures, target_stems

RESULT = dict(label='a cat', labels=['a cat', 'a dog'], scores=[.75, .25])


@pytest.mark.parametrize('size', [(640, 360), (362, 642), (34, 48),
                                  (1280, 64)])
def test_all_frames_with_labels(size, tmp_path):
    source = write_mp4(tmp_path / 'a.mp4', 15, size, fps=12)
    save_video(VideoInput('a', source), RESULT, str(tmp_path / 'b.mp4'))
    with av.open(str(tmp_path / 'b.mp4')) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 12
        assert stream.codec_context.name == 'h264'
        assert stream.codec_context.pix_fmt == 'yuv420p'
        frames = [f.to_ndarray(format='rgb24')
                  for f in container.decode(stream)]
    assert len(frames) == 15
    height, width = frames[0].shape[:2]
    # a strip would become too long
    assert size[0] == 1280 or min(height, width) >= 240
    assert width / height == pytest.approx(size[0] / size[1], rel=.03)
    assert not list(tmp_path.glob('.*'))
    panel = draw_panel(RESULT, height, width)
    down, across = panel.shape[:2]
    assert down <= .55 * height and across <= width
    for i in 0, 14:
        # above the panel the picture is as it was
        plain = np.asarray(Image.fromarray(coded_frame(i, size)).resize(
            (width, height), Image.Resampling.BILINEAR))
        top = height - down
        change = np.abs(frames[i].astype(int) - plain)
        assert change[:top].mean() < 12 and change[top:, :across].mean() > 24


def test_the_panel_says_the_scores():
    panel = draw_panel(dict(label='x', labels=['x', 'y', 'z'],
                            scores=[1., .5, 0.]), 480, 640)
    blue = panel[..., 2].astype(int) - panel[..., 0] > 80
    # letters are in the way: where the last blue of a line is
    line = (len(panel) - 12) // 3
    ends = [np.flatnonzero(blue[6 + i * line + 4:i * line + line].any(0))
            for i in range(3)]
    width = panel.shape[1]
    assert ends[0].max() == width - 1
    assert ends[1].max() == pytest.approx(width / 2, abs=2)
    assert len(ends[2]) <= 1
    # five lines at most, and a long label is cut
    many = dict(label='l', labels=['l ' * 300] * 9, scores=[.1] * 9)
    five = dict(label='l', labels=['l'] * 5, scores=[.1] * 5)
    assert len(draw_panel(many, 480, 640)) == len(draw_panel(five, 480, 640))
    for height, width in (480, 640), (240, 240), (20, 3000), (2000, 60):
        panel = draw_panel(many, height, width)
        assert panel.shape[0] <= max(.5 * height, 20)
        assert panel.shape[1] <= width


def test_frames_one_by_one():
    """A few are in memory at a time; all become of the first one's size."""
    seen = []

    def frames():
        for i in range(50):
            frame = coded_frame(0, (160, 128) if i % 2 else (320, 256))
            seen.append(weakref.ref(frame))
            yield frame
            assert read_index(frame) == 0  # the caller's stay as they were
            assert sum(frame() is not None for frame in seen) < 8

    assert [frame.shape for frame in labelled(frames(), RESULT)] == [
        (256, 320, 3)] * 50


def test_no_half_video_is_left(tmp_path):
    cut = Path(write_mp4(tmp_path / 'cut.mp4', 60, faststart=True))
    cut.write_bytes(cut.read_bytes()[:cut.stat().st_size * 6 // 10])
    out = str(tmp_path / 'out.mp4')
    for path, reason in (str(cut), ''), ('gone.mp4', 'No such file'):
        with pytest.raises(UserError, match=f'the clip cannot.*: {reason}'):
            save_video(VideoInput('the clip', path), RESULT, out)
    assert os.listdir(tmp_path) == ['cut.mp4']


def encode(path, times, b_frames) -> VideoInput:
    """A video whose frames are shown at these seconds; with B-frames, by
    FFmpeg's own clock."""
    how = dict(fps=10, bf='3', b_strategy='0') if b_frames else dict(
        times=[round(1000 * time) for time in times])
    write_video(path, count=len(times), size=(64, 64), **how)
    return VideoInput('a', str(path))


@pytest.mark.parametrize('suffix, times, b_frames', [
    # of phones and screens, where the rate changes; and very slow ones
    ('.mkv', [0, .04, .08, .12, 2.12, 4.12, 4.16], False),
    ('.mkv', [0, 5000, 10000], False), (None, [0, 5000, 10000], False),
    # with B-frames, of which AVI does not say the times
    ('.avi', np.arange(20) / 10, True), ('.mp4', np.arange(20) / 10, True)])
def test_frames_keep_their_times(suffix, times, b_frames, tmp_path):
    video = VideoInput('a', fps=1 / 5000,
                       frames=np.zeros((3, 64, 64, 3), np.uint8))
    if suffix:
        video = encode(tmp_path / f'a{suffix}', times, b_frames)
    save_video(video, RESULT, str(tmp_path / 'b.mp4'))
    with av.open(str(tmp_path / 'b.mp4')) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base > 0
        assert [float(frame.pts * frame.time_base) for frame in
                container.decode(stream)] == pytest.approx(times, abs=.002)


def inputs(*names) -> list:
    return [VideoInput(name, name) for name in names]


def test_names_do_not_collide():
    names = ['a/x.mp4', 'b/x.avi', 'x-2.mp4', 'c/X.MP4', 'höhe 1.mp4',
             'camera:0', 'http://h.org/v%20w.mp4?x=/y.mp4', 'http://h.org/',
             'a?*b.mp4', 'l' * 300 + '.mp4']
    stems = target_stems(inputs(*names), {})
    assert [stems[name] for name in names] == [
        'x', 'x.avi', 'x-2', 'X-3', 'höhe 1', 'camera_0', 'v w', 'video',
        'a__b', 'l' * 100]
    # names that are given away stay, and others are found for the rest
    before = {'gone/x.mp4': 'x', 'b/X.mp4': 'X-3'}
    assert target_stems(inputs('a/x.mp4', 'c/x-2.mp4', 'b/X.mp4'),
                        before) == {
        **before, 'a/x.mp4': 'x-4', 'c/x-2.mp4': 'x-2'}


def test_nothing_is_written_over(tmp_path):
    source, out = tmp_path / 'a.mp4', tmp_path / 'out'
    source.touch()
    videos = inputs(str(source))

    def pictures(folder, *more) -> Pictures:
        return Pictures(parse_args(
            [str(source), '--save-video', str(folder), *more]), videos)

    both = out, '--timeline', str(out)
    pictures(*both).check(videos)
    for name in 'a.mp4', 'a.png', 'a.json':
        (out / name).touch()
        with pytest.raises(ValueError, match=f'{name}.*--overwrite'):
            pictures(*both).check(videos)
        pictures(*both, '--overwrite').check(videos)
        (out / name).unlink()
    # a video that is to be read, even through a link
    (tmp_path / 'link').symlink_to(tmp_path)
    for folder in tmp_path, tmp_path / 'link':
        with pytest.raises(ValueError, match='over the input'):
            pictures(folder, '--overwrite').check(videos)


TIMES = np.arange(1, 20.)


def picture(given, *args) -> np.ndarray:
    """Its pixels, with eight green frames below."""
    images = np.zeros((8, 40, 60, 3), np.uint8)
    images[..., 1] = 255
    times = np.linspace(given.times[0], given.times[-1], 8)
    sampled = Sampled(images, np.arange(8), times, 1.)
    png = draw_timeline(given, 'a $video_ 視頻', sampled, *args)
    return np.asarray(Image.open(io.BytesIO(png)).convert('RGB')).astype(int)


@pytest.mark.filterwarnings('error')  # of letters that the font has not
def test_picture():
    scores = np.random.default_rng(0).dirichlet(np.ones(12), len(TIMES))
    pixels = picture(Timeline(TIMES, scores, [
        f'label ${i} _^ 猫' for i in range(12)], 2.), .5)
    assert pixels.shape == (600, 1320, 3)
    green = (pixels == [0, 255, 0]).all(-1)
    columns, rows = green.any(0), green.any(1)
    # eight frames side by side, below the lines
    assert (np.diff(columns.astype(int)) == 1).sum() == 8
    assert rows[:400].sum() == 0 and rows.sum() > 40
    # ten lines would be of ten colours: the first and the eighth are there
    for colour in (31, 119, 180), (127, 127, 127):
        assert (pixels == colour).all(-1).sum() > 100
    assert not (pixels == (188, 189, 34)).all(-1).any()
