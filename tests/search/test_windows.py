"""Windows of a video are embedded as videos of their own."""
import numpy as np
import pytest
from search_world import colour_clip

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.search.store import VideoIndex
from projects.vifi_clip.apis.identity import identity_of
from projects.vifi_clip_tools.search.indexing import index_videos
from projects.vifi_clip_tools.search.querying import search_videos
from projects.vifi_clip.apis.windows import embed_windows


@pytest.fixture(scope='module')
def inferencer():
    return ViFiCLIPInferencer('small_world', device='cpu')


def test_a_window_is_a_video_of_its_own(inferencer):
    a, b, c = np.random.default_rng(0).integers(
        0, 256, (3, 1, 60, 60, 3), dtype=np.uint8)
    frames = np.concatenate([a] * 24 + [b] * 24 + [c] * 8)
    video = VideoInput('noise', frames=frames, fps=10.)
    found, spans = embed_windows(inferencer, video, 2.4)
    # three windows of 24 frames; the last reaches back from the end, and
    # the middles of its eighths are frames 33, 36, ... 54: five of b
    assert spans == [pytest.approx(span) for span in
                     [(0., 2.4), (2.4, 4.8), (3.2, 5.6)]]
    alone = [[a] * 20, [b] * 30, [b] * 50 + [c] * 30]
    wanted = [part['embedding'] for part in inferencer.embed(
        [VideoInput(str(i), frames=np.concatenate(part))
         for i, part in enumerate(alone)])]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert (found @ found.T)[~np.eye(3, dtype=bool)].max() < 1 - 1e-3


def test_a_short_video_is_one_window(inferencer):
    frames = np.full((10, 60, 60, 3), 99, np.uint8)
    found, spans = embed_windows(
        inferencer, VideoInput('a', frames=frames, fps=10.), 60.)
    assert len(found) == 1 and spans == [pytest.approx((0., 1.))]


def test_a_moment_in_a_long_video_is_found(inferencer, tmp_path):
    clips = tmp_path / 'clips'
    colour_clip(clips / 'long.mp4', 'red', 'green', 'blue', 'red', frames=25)
    colour_clip(clips / 'red.mp4', 'red', frames=25)
    (clips / 'bad.mp4').write_bytes(b'no video')
    example = colour_clip(tmp_path / 'example.mp4', 'blue', frames=30)
    index = VideoIndex.create(str(tmp_path / 'i'), identity_of(inferencer))
    outcome = index_videos(index, inferencer, str(clips), window=1.)
    assert outcome.added == 2 and len(index) == 5
    assert [path for path, _ in outcome.failed] == [str(clips / 'bad.mp4')]
    hits, = search_videos(index, inferencer, example, topk=9)
    assert len(hits) == 5
    assert hits[0].path == str(clips / 'long.mp4')
    assert (hits[0].start, hits[0].end) == pytest.approx((2., 3.))
    # other windows are other embeddings, in place of the old ones
    outcome = index_videos(index, inferencer, str(clips / 'long.mp4'),
                           window=2.)
    assert outcome.changed == 1 and len(index) == 3
    outcome = index_videos(index, inferencer, str(clips / 'long.mp4'))
    assert outcome.changed == 1 and len(index) == 2


def test_the_models_settings_are_part_of_it(inferencer):
    mine = identity_of(inferencer, 'small_world')
    assert mine.embed_dim == inferencer.embed_dim and mine.num_frames == 8
    assert type(mine).from_dict(mine.to_dict()) == mine
    assert not mine.differences(identity_of(inferencer, 'elsewhere'))
    preprocessor = inferencer.model.data_preprocessor
    mean = preprocessor.mean
    try:
        preprocessor.mean = mean + 1
        changed = identity_of(inferencer, 'small_world')
    finally:
        preprocessor.mean = mean
    # Weights do not tell; mean is a buffer that is not saved.
    difference, = mine.differences(changed)
    assert difference.startswith('pixel_mean: [127.5, ')


def test_a_missing_video_names_itself(inferencer, tmp_path):
    with pytest.raises(UserError, match='gone.mp4'):
        embed_windows(inferencer, VideoInput('gone.mp4', str(
            tmp_path / 'gone.mp4')), 1.)
