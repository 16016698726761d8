"""What is embedded anew, and what stays; windows as videos of their own; what
was found as a table and a contact sheet."""
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import vifi
from helpers import write_mp4

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.apis.inputs import expand_inputs
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip_tools.search.indexing import index_videos
from projects.vifi_clip_tools.search.querying import (
    contact_sheet, encode, format_hits, read_frames, search_texts,
    search_videos)
from projects.vifi_clip_tools.search.store import Hit, VideoIndex

COLOURS = dict(red=(255, 0, 0), green=(0, 255, 0), blue=(0, 0, 255))
RED, GREEN, BLUE = CLIPS = [f"clips/{c}/{c}'s é.mp4" for c in COLOURS]


def colour_clip(path, *colours, frames: int = 10) -> str:
    """Write a clip that shows each colour for ``frames`` frames of 1/25 s."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return write_mp4(path, frames=[
        np.full((64, 64, 3), COLOURS[colour], np.uint8)
        for colour in colours for _ in range(frames)])


class ColourModel:
    """An inferencer whose embedding is the mean colour, D = 3; Ctrl-C comes
    after ``stop_after`` videos."""

    embed_dim, num_frames, checkpoint = 3, 2, None

    def __init__(self, seed: int = 0, stop_after=None) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(2, 2)  # has a fingerprint
        self.cfg = SimpleNamespace(filename=f'colours_{seed}',
                                   get=lambda key: None)
        self.seen, self.stop_after = [], stop_after

    is_bundled = False

    def embed(self, videos, num_views=1, batch_size=1, on_error='raise'):
        for video in expand_inputs(videos):
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(video.path)
            try:
                file = VideoFile(video.path)
                pixels = file.frames(range(len(file)))
            except UnreadableVideo as error:
                yield dict(video=video.name, error=error.reason)
                continue
            mean = np.mean(pixels, axis=(0, 1, 2))
            yield dict(video=video.name, embedding=mean / np.linalg.norm(mean))

    def text_embeddings(self, texts, templates=None):
        return np.array([COLOURS[text] for text in texts])


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty index, and three clips in the working directory."""
    monkeypatch.chdir(tmp_path)
    for colour, path in zip(COLOURS, CLIPS):
        colour_clip(path, colour)
    return VideoIndex.create('i', Identity.of(ColourModel()))


def counts(outcome):
    return (outcome.added, outcome.changed, outcome.unchanged,
            len(outcome.vanished), len(outcome.failed))


def relative(paths):
    return sorted(map(os.path.relpath, paths))


def test_only_what_changed_is_embedded_again(index):
    model = ColourModel()
    assert counts(index_videos(index, model, 'clips')) == (3, 0, 0, 0, 0)
    model.seen.clear()
    assert counts(index_videos(index, model, 'clips')) == (0, 0, 3, 0, 0)
    assert not model.seen
    colour_clip(RED, 'green', 'green')
    os.utime(BLUE, ns=(1, 1))
    more = colour_clip('clips/more.mp4', 'red')
    # the same file under two names is one file
    videos = ['clips', os.path.abspath(more), 'clips/*/*.mp4']
    assert counts(index_videos(index, model, videos)) == (1, 2, 1, 0, 0)
    assert relative(model.seen) == [BLUE, more, RED]
    found = search_texts(index, model, ['blue', 'red', 'blue'], topk=2)
    assert [os.path.relpath(hits[0].path) for hits in found] == [
        BLUE, more, BLUE]
    assert all(hits[0].similarity > 0.99 > 0.2 > hits[1].similarity
               for hits in found)
    assert len(index) == 4


def test_vanished_videos_are_reported_and_pruned_where_one_looks(index):
    model = ColourModel()
    # a folder with a longer name is another folder
    far = colour_clip('clips2/a.mp4', 'red')
    index_videos(index, model, ['clips', 'clips2'])
    for path in RED, BLUE, far:
        os.remove(path)
    other = colour_clip('clips/red/other.mp4', 'red')
    outcome = index_videos(index, model, ['clips/red'])
    assert relative(outcome.vanished) == [RED] and len(index) == 5
    index_videos(index, model, 'clips/red/*.mp4', prune=True)
    assert relative(index.videos()) == [BLUE, GREEN, other, far]
    index_videos(index, model, 'clips', prune=True)
    assert relative(index.videos()) == [GREEN, other, far]


def test_bad_videos_are_reported_and_the_rest_is_indexed(index):
    model = ColourModel()
    index_videos(index, model, RED)
    new = Path('clips/new.mp4')
    for path in Path(RED), new:
        path.write_bytes(b'no video')
    os.rename(BLUE, b'clips/\xff.mp4')
    outcome = index_videos(index, model, 'clips')
    assert counts(outcome) == (1, 0, 0, 0, 3)
    assert relative(path for path, _ in outcome.failed) == [
        'clips/?.mp4', str(new), RED]
    # what it showed before is no longer there
    assert relative(index.videos()) == [GREEN]
    colour_clip(new, 'red')
    assert counts(index_videos(index, model, 'clips'))[:3] == (1, 0, 1)


def test_a_toy_says_what_it_does_not_know(tmp_path, capsys):
    pytest.importorskip('lancedb')
    clip = colour_clip(tmp_path / 'clip.mp4', 'red', 'green')
    for more in [], ['--window', '0.2']:
        folder = tmp_path / f'index{len(more)}'
        assert vifi('index', clip, '--index', folder, '--config',
                    'small_world', '--device', 'cpu', *more) == 0
        assert 'clip.mp4: unlike' in capsys.readouterr().err
    for query, warned in ('a red ring', False), ('a red dog', True):
        assert vifi('search', query, '--index', folder, '--device',
                    'cpu') == 0
        assert ('does not know' in capsys.readouterr().err) == warned


def test_ctrl_c_keeps_what_is_done_and_another_model_is_refused(index):
    stopped, model = ColourModel(stop_after=2), ColourModel()
    with pytest.raises(KeyboardInterrupt):
        index_videos(index, stopped, 'clips')
    assert set(index.videos()) == set(stopped.seen) and len(index) == 2
    with pytest.raises(UserError, match='colours_0(.|\n)*colours_1'):
        index_videos(index, ColourModel(seed=1), 'clips')
    assert len(index) == 2
    # the same weights from elsewhere are the same model
    model.cfg.filename = 'moved'
    assert counts(index_videos(index, model, 'clips')) == (1, 0, 2, 0, 0)


def test_a_moment_in_a_long_video_is_found(small_inferencer, tmp_path):
    clips = tmp_path / 'clips'
    colour_clip(clips / 'long.mp4', 'red', 'green', 'blue', 'red', frames=25)
    colour_clip(clips / 'red.mp4', 'red', frames=25)
    (clips / 'bad.mp4').write_bytes(b'no video')
    example = colour_clip(tmp_path / 'example.mp4', 'blue', frames=30)
    index = VideoIndex.create(str(tmp_path / 'i'),
                              Identity.of(small_inferencer))

    def run(video, window=None):
        return counts(index_videos(index, small_inferencer,
                                   str(clips / video), window))

    assert run('', 1.) == (2, 0, 0, 0, 1) and len(index) == 5
    hits, = search_videos(index, small_inferencer, example, topk=9)
    assert sorted((hit.start, hit.end) for hit in hits) == [
        pytest.approx(span) for span in
        [(0., 1.), (0., 1.), (1., 2.), (2., 3.), (3., 4.)]]
    assert hits[0].path == str(clips / 'long.mp4')
    assert (hits[0].start, hits[0].end) == pytest.approx((2., 3.))
    # other windows are other embeddings, in place of the old ones
    assert run('long.mp4', 2.)[1] == 1 and len(index) == 3
    assert run('long.mp4')[1] == 1 and len(index) == 2


# Tables and contact sheets


def main_colour(picture) -> str:
    mean = np.asarray(picture, float).reshape(-1, 3).mean(0)
    return min(COLOURS, key=lambda c: np.abs(mean - COLOURS[c]).sum())


def test_frames_are_of_the_window(tmp_path):
    path = colour_clip(tmp_path / 'a.mp4', 'red', 'green', 'blue', 'red',
                       frames=25)
    for span, colours in [
            ((None, None), ['red', 'green', 'blue', 'red']),
            ((1., 2.), 4 * ['green']),
            ((1., 3.), 2 * ['green'] + 2 * ['blue'])]:
        frames, problem = read_frames(Hit(path, *span, 1.))
        assert [main_colour(f) for f in frames] == colours and not problem


def test_a_video_that_is_gone_or_broken_keeps_its_place(tmp_path):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    for path in bad, tmp_path / 'gone.mp4':
        frames, problem = read_frames(Hit(str(path), None, None, 1.))
        assert not frames and problem
    sheet = contact_sheet([Hit(str(bad), 1., 2., 0.1)], 'q' * 500)
    good = colour_clip(tmp_path / 'good.mp4', 'red')
    assert sheet.size == contact_sheet([Hit(good, 0., 0.2, 0.1)], 'q').size
    for name, start in ('a.png', b'\x89PNG'), ('a.JPG', b'\xff\xd8'):
        assert encode(sheet, name).startswith(start)


def test_the_table_fits_a_terminal():
    lines = format_hits([
        Hit('/data/' + 'long/' * 40 + 'the_name.mp4', 3605., 3700., 0.12345),
        Hit('/v/短い.mp4', 59.96, 61.24, -0.5),
        Hit('/映画/' + '長い' * 60 + 'a\nb\x1b[31m.mp4', None, None, 1.),
    ]).splitlines()
    assert lines[1].split()[:3] == ['1', '0.123', '1:00:05-1:01:40']
    assert '...' in lines[1] and lines[1].endswith('/the_name.mp4')
    assert lines[2].split() == ['2', '-0.500', '1:00.0-1:01.2', '/v/短い.mp4']
    assert lines[3].endswith('a?b?[31m.mp4')
    for line in lines:
        assert sum(2 if ord(c) > 0x2e80 else 1 for c in line) <= 80
