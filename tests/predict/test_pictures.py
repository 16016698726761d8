"""Videos with labels over them, and scores over time."""
import io
import json
import os
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import coded_frame, read_index, write_mp4
from PIL import Image

from projects.vifi_clip_tools.predict.command import parse_args
from projects.vifi_clip_tools.predict.pictures import Pictures, target_stems
from projects.vifi_clip_tools.predict.video import (draw_panel, labelled,
                                                    save_video)
from projects.vifi_clip_tools.predict.timeline import (draw_timeline,
                                                       shown_labels,
                                                       timeline_json)
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.apis.sampling import Sampled, Timeline
from projects.vifi_clip.errors import UserError

RESULT = dict(label='a cat', labels=['a cat', 'a dog'], scores=[.75, .25])


def decode(path) -> tuple:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format='rgb24')
                  for f in container.decode(stream)]
        return frames, stream


@pytest.mark.parametrize('size', [(640, 360), (361, 641), (96, 64), (33, 47),
                                  (1280, 64)])
def test_all_frames_with_labels(size, tmp_path):
    even = tuple(n + n % 2 for n in size)
    source = write_mp4(tmp_path / 'a.mp4', 30, even, fps=12)
    out = tmp_path / 'b.mp4'
    save_video(VideoInput('a', source), RESULT, str(out))
    frames, stream = decode(out)
    assert len(frames) == 30 and stream.average_rate == 12
    assert stream.codec_context.name == 'h264'
    assert stream.codec_context.pix_fmt == 'yuv420p'
    height, width = frames[0].shape[:2]
    assert width % 2 == height % 2 == 0
    if size[0] < 1280:  # a strip would become too long
        assert min(height, width) >= 240
    assert width / height == pytest.approx(even[0] / even[1], rel=.03)
    assert os.listdir(tmp_path) and not list(tmp_path.glob('.*'))
    panel = draw_panel(RESULT, height, width)
    down, across = panel.shape[:2]
    assert down <= .55 * height and across <= width
    for i in 0, 13, 29:
        # above the panel the picture is as it was
        plain = np.asarray(Image.fromarray(coded_frame(i, even)).resize(
            (width, height), Image.Resampling.BILINEAR))
        top = height - down
        assert np.abs(frames[i][:top].astype(int) - plain[:top]).mean() < 12
        # below, it is dark but for bars and letters
        corner = frames[i][top + 1:, :across].astype(int)
        if height > 64:
            assert corner.mean() < plain[top + 1:, :across].mean() * .8 + 60
        assert (corner.min(-1) > 200).any()  # letters
        if across < width - 20:
            rest = slice(across + 4, None)
            assert np.abs(frames[i][top:, rest].astype(int)
                          - plain[top:, rest]).mean() < 12


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
    # 'none of these' stands above in a line of its own
    more = draw_panel(dict(RESULT, label='none of these'), 480, 640)
    assert len(more) > len(draw_panel(RESULT, 480, 640))
    # five lines at most, and a long label is cut
    many = dict(label='l', labels=['l ' * 300] * 9, scores=[.1] * 9)
    for height, width in (480, 640), (240, 240), (20, 3000), (2000, 60):
        panel = draw_panel(many, height, width)
        assert panel.shape[0] <= max(.5 * height, 20)
        assert panel.shape[1] <= width
    same = draw_panel(dict(many, labels=['l'] * 5, scores=[.1] * 5), 480, 640)
    assert len(draw_panel(many, 480, 640)) == len(same)


def test_arrays_and_changing_sizes(tmp_path):
    clip = np.stack([coded_frame(i, (320, 256)) for i in range(9)])
    out = str(tmp_path / 'a.mp4')
    save_video(VideoInput('a', frames=clip, fps=7.5), RESULT, out)
    frames, stream = decode(out)
    assert stream.average_rate == 7.5 and len(frames) == 9
    assert [f.shape for f in frames] == [(256, 320, 3)] * 9
    given = [clip[0], clip[0][:128, :160]]
    assert [f.shape for f in labelled(given, RESULT)] == [(256, 320, 3)] * 2
    assert read_index(clip[0]) == 0  # the caller's stay as they were


def test_only_a_few_frames_are_in_memory():
    alive, most = [0], [0]

    class Frame(np.ndarray):
        def __del__(self):
            alive[0] -= 1

    def frames():
        for i in range(50):
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            yield np.zeros((256, 256, 3), np.uint8).view(Frame)

    count = sum(1 for _ in labelled(frames(), RESULT))
    assert count == 50 and most[0] < 8


def test_no_half_video_is_left(tmp_path):
    whole = write_mp4(tmp_path / 'whole.mp4', 60, faststart=True)
    with open(whole, 'rb') as file:
        content = file.read()
    (tmp_path / 'cut.mp4').write_bytes(content[:len(content) * 6 // 10])
    out = tmp_path / 'new' / 'out.mp4'
    out.parent.mkdir()
    with pytest.raises(UserError, match='cut cannot be read to its end'):
        save_video(VideoInput('cut', str(tmp_path / 'cut.mp4')), RESULT,
                   str(out))
    assert not os.listdir(out.parent)
    with pytest.raises(UserError, match='gone cannot be read: No such file'):
        save_video(VideoInput('gone', 'gone.mp4'), RESULT, str(out))


def times_of(path) -> list:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base > 0
        return [float(frame.pts * frame.time_base)
                for frame in container.decode(stream)]


@pytest.mark.parametrize('times', [
    [0, .04, .08, .12, 2.12, 4.12, 4.16], [0, 5000, 10000]])
def test_frames_keep_their_times(times, tmp_path):
    """Of phones and screens, where the rate changes; and very slow ones."""
    source, out = tmp_path / 'a.mkv', str(tmp_path / 'b.mp4')
    with av.open(str(source), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width = stream.height = 64
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(coded_frame(i, (64, 64)),
                                               format='rgb24')
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    save_video(VideoInput('a', str(source)), RESULT, out)
    assert times_of(out) == pytest.approx(times, abs=.002)


@pytest.mark.parametrize('suffix', ['.avi', '.mp4'])
def test_frames_that_are_reordered(suffix, tmp_path):
    """With B-frames, of which AVI does not say the times."""
    source, out = str(tmp_path / f'a{suffix}'), str(tmp_path / 'b.mp4')
    with av.open(source, 'w') as container:
        stream = container.add_stream(
            'libx264', rate=10, options=dict(bf='3', b_strategy='0'))
        stream.width = stream.height = 64
        for i in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(
                coded_frame(i, (64, 64)), format='rgb24')))
        container.mux(stream.encode())
    save_video(VideoInput('a', source), RESULT, out)
    assert times_of(out) == pytest.approx(np.arange(20) / 10, abs=.001)


def test_a_very_slow_rate(tmp_path):
    out = str(tmp_path / 'a.mp4')
    clip = np.zeros((3, 64, 64, 3), np.uint8)
    save_video(VideoInput('a', frames=clip, fps=1 / 5000), RESULT, out)
    assert times_of(out) == pytest.approx([0, 5000, 10000])


def inputs(*names) -> list:
    return [VideoInput(name, name) for name in names]


def test_names_do_not_collide():
    names = ['a/x.mp4', 'b/x.avi', 'x-2.mp4', 'c/X.MP4', 'höhe 1.mp4',
             'camera:0', 'http://h.org/v%20w.mp4?x=/y.mp4', 'http://h.org/',
             'a?*b.mp4', 'l' * 300 + '.mp4']
    stems = target_stems(inputs(*names))
    found = [stems[name] for name in names]
    assert found == ['x', 'x-3', 'x-2', 'X-4', 'höhe 1', 'camera_0', 'v w',
                     'video', 'a__b', 'l' * 100]
    assert len({stem.lower() for stem in found}) == len(found)
    assert not any('/' in stem for stem in found)


def test_stems_go_on():
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

    both = '--timeline', str(out)
    pictures(out, *both).check(videos)
    for name in 'a.mp4', 'a.png', 'a.json':
        (out / name).touch()
        with pytest.raises(ValueError, match=f'{name}.*--overwrite'):
            pictures(out, *both).check(videos)
        pictures(out, *both, '--overwrite').check(videos)
        (out / name).unlink()
    # a video that is to be read, even through a link
    (tmp_path / 'link').symlink_to(tmp_path)
    for folder in tmp_path, tmp_path / 'link':
        with pytest.raises(ValueError, match='to be read'):
            pictures(folder, '--overwrite').check(videos)


TIMES = np.arange(1, 20.)


def timeline(labels=12) -> Timeline:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(labels), len(TIMES))
    return Timeline(TIMES, scores, [f'label ${i} _^' for i in range(labels)],
                    2.)


def test_json():
    given = timeline()
    found = json.loads(timeline_json('höhe', given))
    assert found['video'] == 'höhe' and found['window'] == 2
    assert found['labels'] == given.labels
    np.testing.assert_allclose(found['times'], TIMES)
    np.testing.assert_allclose(found['scores'], given.scores, atol=1e-6)


def test_labels_worth_a_line():
    scores = np.array([[.5, .4, .09, .01], [.1, .8, .09, .01]])
    given = Timeline(TIMES[:2], scores, list('abcd'), 1.)
    assert shown_labels(given) == [1, 0, 2]
    assert shown_labels(given, 1) == [1]
    even = Timeline(TIMES[:1], np.full((1, 200), .005), ['x'] * 200, 1.)
    assert shown_labels(even) == [0]
    assert len(shown_labels(timeline(20))) == 8


def colours(png) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert('RGB')).astype(int)


def test_picture():
    images = np.zeros((8, 40, 60, 3), np.uint8)
    images[..., 1] = 255  # green frames
    sampled = Sampled(images, np.arange(8), np.arange(8) * 2.5 + 1, 1.)
    plain = colours(draw_timeline(timeline(), 'a $video_'))
    shown = colours(draw_timeline(timeline(), 'a $video_', sampled, .5))
    assert plain.shape == shown.shape == (600, 1320, 3)
    green = (shown == [0, 255, 0]).all(-1)
    assert not (plain == [0, 255, 0]).all(-1).any()
    columns, rows = green.any(0), green.any(1)
    # eight frames side by side, below the lines
    assert (np.diff(columns.astype(int)) == 1).sum() == 8
    assert rows[:400].sum() == 0 and rows.sum() > 40
    # ten lines would be of ten colours: the first and the eighth are there
    for colour in (31, 119, 180), (127, 127, 127):
        assert (plain == colour).all(-1).sum() > 100
    assert not (plain == (188, 189, 34)).all(-1).any()


def test_the_line_is_at_the_score():
    scores = np.array([[.25], [.25], [.25]])
    given = Timeline(np.array([1., 2., 3.]), scores, ['a'], 2.)
    png = colours(draw_timeline(given, 'x'))
    line = (png == (31, 119, 180)).all(-1)
    span = np.flatnonzero(line.sum(1) > 300)  # the rows of a flat line
    grid = np.flatnonzero((png[:, 100:900] == (0, 0, 0)).all(-1).sum(1) > 700)
    bottom, top = grid.max(), 38  # y = 0; near y = 1
    assert len(span) <= 4
    share = (bottom - span.mean()) / (bottom - top)
    assert share == pytest.approx(.25, abs=.02)


def test_letters_that_the_font_has_not():
    given = timeline()
    given.labels[:] = ['猫 %d' % i for i in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        png = draw_timeline(given, '視頻')
    assert colours(png).shape == (600, 1320, 3)
