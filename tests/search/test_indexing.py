"""What is embedded anew, and what stays."""
import os

import numpy as np
import pytest
from search_world import ColourModel, colour_clip

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.search.store import VideoIndex
from projects.vifi_clip.apis.identity import identity_of
from projects.vifi_clip_tools.search.indexing import index_videos
from projects.vifi_clip_tools.search.querying import (search_texts,
                                                      search_videos)


@pytest.fixture
def world(tmp_path):
    """Three clips, a model, and an empty index."""
    clips = tmp_path / 'clips'
    for colour in 'red', 'green', 'blue':
        colour_clip(clips / colour / f"{colour}'s é.mp4", colour)
    model = ColourModel()
    index = VideoIndex.create(str(tmp_path / 'i'), identity_of(model))
    return clips, model, index


def counts(outcome):
    return (outcome.added, outcome.changed, outcome.unchanged,
            len(outcome.vanished), len(outcome.failed))


def clip(clips, colour):
    return str(clips / colour / f"{colour}'s é.mp4")


def test_what_is_found_is_of_the_colour(world):
    clips, model, index = world
    assert counts(index_videos(index, model, str(clips))) == (3, 0, 0, 0, 0)
    found = search_texts(index, model, ['blue', 'red', 'blue'], topk=2)
    assert [hits[0].path for hits in found] == [
        clip(clips, c) for c in ('blue', 'red', 'blue')]
    assert all(hits[0].similarity > 0.99 > 0.2 > hits[1].similarity
               for hits in found)
    found, = search_videos(index, model, clip(clips, 'green'), topk=1)
    assert found[0].path == clip(clips, 'green')


def test_only_what_changed_is_embedded_again(world):
    clips, model, index = world
    index_videos(index, model, str(clips))
    model.seen.clear()
    assert counts(index_videos(index, model, str(clips))) == (0, 0, 3, 0, 0)
    assert not model.seen
    colour_clip(clips / 'red' / "red's é.mp4", 'green', 'green')
    colour_clip(clips / 'more.mp4', 'red')
    # the same file under two names is one file
    videos = [str(clips), os.path.relpath(clips / 'more.mp4'),
              str(clips / '*' / '*.mp4')]
    assert counts(index_videos(index, model, videos)) == (1, 1, 2, 0, 0)
    assert sorted(model.seen) == [str(clips / 'more.mp4'),
                                  clip(clips, 'red')]
    red, = search_texts(index, model, ['red'], topk=1)
    assert red[0].path == str(clips / 'more.mp4')
    assert len(index) == 4


def test_a_file_of_another_time_is_embedded_again(world):
    clips, model, index = world
    index_videos(index, model, str(clips))
    os.utime(clip(clips, 'red'), ns=(1, 1))
    assert counts(index_videos(index, model, str(clips))) == (0, 1, 2, 0, 0)


def test_vanished_videos_are_reported_and_pruned_where_one_looks(world):
    clips, model, index = world
    index_videos(index, model, str(clips))
    for colour in 'red', 'blue':
        os.remove(clip(clips, colour))
    colour_clip(clips / 'red' / 'other.mp4', 'red')
    outcome = index_videos(index, model, [str(clips / 'red')])
    assert outcome.vanished == [clip(clips, 'red')] and len(index) == 4
    index_videos(index, model, str(clips / 'red' / '*.mp4'), prune=True)
    assert set(index.videos()) == {
        clip(clips, 'blue'), clip(clips, 'green'),
        str(clips / 'red' / 'other.mp4')}
    index_videos(index, model, str(clips), prune=True)
    assert clip(clips, 'blue') not in index.videos() and len(index) == 2


def test_a_folder_with_a_longer_name_is_another_folder(world, tmp_path):
    clips, model, index = world
    colour_clip(tmp_path / 'clips2' / 'a.mp4', 'red')
    index_videos(index, model, [str(clips), str(tmp_path / 'clips2')])
    os.remove(tmp_path / 'clips2' / 'a.mp4')
    assert not index_videos(index, model, str(clips)).vanished


def test_bad_videos_are_reported_and_the_rest_is_indexed(world):
    clips, model, index = world
    index_videos(index, model, clip(clips, 'red'))
    for name in clip(clips, 'red'), str(clips / 'new.mp4'):
        with open(name, 'wb') as file:
            file.write(b'no video')
    outcome = index_videos(index, model, str(clips))
    assert counts(outcome) == (2, 0, 0, 0, 2)
    assert sorted(outcome.failed) == [
        (str(clips / 'new.mp4'), 'no video'), (clip(clips, 'red'),
                                               'no video')]
    # what it showed before is no longer there
    assert set(index.videos()) == {clip(clips, 'green'),
                                   clip(clips, 'blue')}
    colour_clip(clips / 'new.mp4', 'red')
    assert counts(index_videos(index, model, str(clips)))[:3] == (1, 0, 2)


def test_a_name_that_is_no_utf8_is_reported(world):
    clips, model, index = world
    os.rename(clip(clips, 'red'), os.fsencode(str(clips)) + b'/\xff.mp4')
    outcome = index_videos(index, model, str(clips))
    assert counts(outcome) == (2, 0, 0, 0, 1)
    assert outcome.failed[0][0].encode() and 'UTF-8' in outcome.failed[0][1]


def test_ctrl_c_keeps_what_is_done(world):
    clips, model, index = world

    def interrupted(*args, **kwargs):
        results = ColourModel.embed(model, *args, **kwargs)
        yield next(results)
        yield next(results)
        raise KeyboardInterrupt

    model.embed = interrupted
    with pytest.raises(KeyboardInterrupt):
        index_videos(index, model, str(clips))
    assert set(index.videos()) == set(model.seen) and len(index) == 2
    del model.embed
    assert counts(index_videos(index, model, str(clips))) == (1, 0, 2, 0, 0)


def test_another_model_is_named_beside_the_indexs(world, tmp_path):
    clips, model, index = world
    other = ColourModel(seed=1, config='other_config')
    with pytest.raises(UserError) as caught:
        index_videos(index, other, str(clips))
    text = str(caught.value)
    assert 'colours' in text and 'other_config' in text
    assert 'differ in weights: ' in text and len(index) == 0
    # the same weights from elsewhere are the same model
    moved = ColourModel(config='moved')
    assert counts(index_videos(index, moved, str(clips)))[0] == 3
    moved.num_frames = 8
    with pytest.raises(UserError, match='differ in num_frames: 2 and 8'):
        index_videos(index, moved, str(clips))


def test_what_is_no_file_is_refused(world):
    clips, model, index = world
    with pytest.raises(ValueError, match='An index is of files; http'):
        index_videos(index, model, 'http://localhost/a.mp4')
    with pytest.raises(ValueError, match='An index is of files'):
        index_videos(index, model, np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(UserError, match='No such video: nowhere'):
        index_videos(index, model, ['nowhere'])
    for window in 0., -1., float('nan'), float('inf'):
        with pytest.raises(ValueError, match='window is a length'):
            index_videos(index, model, str(clips), window=window)


def test_empty_queries_and_bad_templates_are_refused(world):
    _, model, index = world
    for queries in [], [''], ['red', ' ']:
        with pytest.raises(ValueError, match='query'):
            search_texts(index, model, queries)
    for template in 'a photo', '{} {}':
        with pytest.raises(ValueError, match='must have {} once'):
            search_texts(index, model, ['red'], template=template)
