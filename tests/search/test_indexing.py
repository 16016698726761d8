"""What is embedded anew, and what stays; windows as videos of their own."""
import os
from pathlib import Path

import pytest
from search_world import COLOURS, ColourModel, colour_clip

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.search.indexing import index_videos
from projects.vifi_clip_tools.search.querying import (search_texts,
                                                      search_videos)
from projects.vifi_clip_tools.search.store import VideoIndex

RED, GREEN, BLUE = CLIPS = [f"clips/{c}/{c}'s é.mp4" for c in COLOURS]


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
    model.num_frames = 8
    with pytest.raises(UserError, match='num_frames'):
        index_videos(index, model, 'clips')


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
    # a setting that leaves no trace in the weights
    mean = small_inferencer.model.data_preprocessor.mean
    mean += 1
    try:
        with pytest.raises(UserError, match='pixel_mean'):
            run('long.mp4')
    finally:
        mean -= 1
