"""What is embedded anew, and what stays; windows as videos of their own."""
import os

import pytest
from search_world import ColourModel, colour_clip

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.search.indexing import index_videos
from projects.vifi_clip_tools.search.querying import (search_texts,
                                                      search_videos)
from projects.vifi_clip_tools.search.store import VideoIndex


@pytest.fixture
def world(tmp_path):
    """Three clips, a model, and an empty index."""
    for colour in 'red', 'green', 'blue':
        colour_clip(tmp_path / 'clips' / colour / f"{colour}'s é.mp4", colour)
    model = ColourModel()
    index = VideoIndex.create(str(tmp_path / 'i'), Identity.of(model))
    return tmp_path / 'clips', model, index


def counts(outcome):
    return (outcome.added, outcome.changed, outcome.unchanged,
            len(outcome.vanished), len(outcome.failed))


def clip(clips, colour):
    return str(clips / colour / f"{colour}'s é.mp4")


def test_only_what_changed_is_embedded_again(world):
    clips, model, index = world
    assert counts(index_videos(index, model, str(clips))) == (3, 0, 0, 0, 0)
    model.seen.clear()
    assert counts(index_videos(index, model, str(clips))) == (0, 0, 3, 0, 0)
    assert not model.seen
    colour_clip(clips / 'red' / "red's é.mp4", 'green', 'green')
    os.utime(clip(clips, 'blue'), ns=(1, 1))
    colour_clip(clips / 'more.mp4', 'red')
    # the same file under two names is one file
    videos = [str(clips), os.path.relpath(clips / 'more.mp4'),
              str(clips / '*' / '*.mp4')]
    assert counts(index_videos(index, model, videos)) == (1, 2, 1, 0, 0)
    assert sorted(model.seen) == [
        clip(clips, 'blue'), str(clips / 'more.mp4'), clip(clips, 'red')]
    found = search_texts(index, model, ['blue', 'red', 'blue'], topk=2)
    assert [hits[0].path for hits in found] == [
        clip(clips, 'blue'), str(clips / 'more.mp4'), clip(clips, 'blue')]
    assert all(hits[0].similarity > 0.99 > 0.2 > hits[1].similarity
               for hits in found)
    assert len(index) == 4


def test_vanished_videos_are_reported_and_pruned_where_one_looks(
        world, tmp_path):
    clips, model, index = world
    # a folder with a longer name is another folder
    colour_clip(tmp_path / 'clips2' / 'a.mp4', 'red')
    index_videos(index, model, [str(clips), str(tmp_path / 'clips2')])
    for path in (clip(clips, 'red'), clip(clips, 'blue'),
                 tmp_path / 'clips2' / 'a.mp4'):
        os.remove(path)
    colour_clip(clips / 'red' / 'other.mp4', 'red')
    outcome = index_videos(index, model, [str(clips / 'red')])
    assert outcome.vanished == [clip(clips, 'red')] and len(index) == 5
    index_videos(index, model, str(clips / 'red' / '*.mp4'), prune=True)
    kept = {clip(clips, 'blue'), clip(clips, 'green'),
            str(clips / 'red' / 'other.mp4'), str(tmp_path / 'clips2/a.mp4')}
    assert set(index.videos()) == kept
    index_videos(index, model, str(clips), prune=True)
    assert set(index.videos()) == kept - {clip(clips, 'blue')}


def test_bad_videos_are_reported_and_the_rest_is_indexed(world):
    clips, model, index = world
    index_videos(index, model, clip(clips, 'red'))
    for name in clip(clips, 'red'), str(clips / 'new.mp4'):
        with open(name, 'wb') as file:
            file.write(b'no video')
    os.rename(clip(clips, 'blue'), os.fsencode(str(clips)) + b'/\xff.mp4')
    outcome = index_videos(index, model, str(clips))
    assert counts(outcome) == (1, 0, 0, 0, 3)
    assert {path for path, _ in outcome.failed} == {
        str(clips / 'new.mp4'), clip(clips, 'red'), str(clips / '?.mp4')}
    # what it showed before is no longer there
    assert set(index.videos()) == {clip(clips, 'green')}
    colour_clip(clips / 'new.mp4', 'red')
    assert counts(index_videos(index, model, str(clips)))[:3] == (1, 0, 1)


def test_ctrl_c_keeps_what_is_done_and_another_model_is_refused(world):
    clips, model, index = world
    stopped = ColourModel(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        index_videos(index, stopped, str(clips))
    assert set(index.videos()) == set(stopped.seen) and len(index) == 2
    with pytest.raises(UserError, match='colours_0(.|\n)*colours_1'):
        index_videos(index, ColourModel(seed=1), str(clips))
    assert len(index) == 2
    # the same weights from elsewhere are the same model
    model.cfg.filename = 'moved'
    assert counts(index_videos(index, model, str(clips))) == (1, 0, 2, 0, 0)
    model.num_frames = 8
    with pytest.raises(UserError, match='num_frames'):
        index_videos(index, model, str(clips))


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
