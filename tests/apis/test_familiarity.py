"""A bundled small model says what it does not know."""
import numpy as np
import pytest
import torch
from helpers import coded_frame, write_mp4
from tiny import build_model

from projects.vifi_clip.apis.familiarity import (known_pixels, label_warning,
                                                 pixel_statistics,
                                                 unknown_texts)
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.mini_world.clips import Job, render_clip
from projects.vifi_clip_tools.mini_world.world import CLASSES

WEIGHTS = 'vifi-clip://small_world'


def rendered(number: int, cls) -> np.ndarray:
    return render_clip(Job(f'test/{number}', 5, 64, cls))[0]


def strange(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return dict(
        noise=rng.integers(0, 256, (16, 90, 120, 3), dtype=np.uint8),
        bars=np.stack([coded_frame(i, (120, 90)) for i in range(16)]),
        black=np.zeros((16, 90, 120, 3), np.uint8),
        still=np.full((1, 90, 120, 3), 200, np.uint8))[kind]


def test_rendered_clips_are_known(small_inferencer):
    """Of classes that the model was trained on, and of others."""
    classes = CLASSES['train'][::3] + CLASSES['zero_shot'][::2]
    results = small_inferencer.predict(
        [rendered(i, cls) for i, cls in enumerate(classes)], batch_size=4)
    assert sum('warning' in result for result in results) <= 1


@pytest.mark.parametrize('kind', ['noise', 'bars', 'black', 'still'])
def test_other_videos_are_warned_of(small_inferencer, kind):
    for results in (small_inferencer.predict(strange(kind), num_views=(2, 3)),
                    small_inferencer.embed(strange(kind))):
        assert 'warning' in next(results)


def test_statistics():
    """Half black, half white and blue: one edge across, none down; one step
    in time."""
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, :, 2:, 2] = 90
    across, flat, edges, *rest = np.exp(pixel_statistics(images)) - .01
    assert across == pytest.approx(30 * 4 / 24)  # 4 of 2 x 4 x 3 steps
    assert (flat, edges) == pytest.approx((20 / 24, 4 / 24))
    down, in_time = rest[:3], rest[3:6]
    assert down == pytest.approx([0, 1, 0])
    assert in_time == pytest.approx([15, .5, .5])
    # brightness and saturation, mean and spread
    assert rest[6:] == pytest.approx([7.5, 7.5, 22.5, 22.5])


def test_words_that_have_no_embedding(small_inferencer):
    classifier = small_inferencer.classifier
    assert unknown_texts(classifier, [
        'a red ring spinning', 'a dog', 'a red dog', 'star', 'arm wrestling'
    ]) == ['a dog', 'a red dog', 'arm wrestling']


def test_one_unknown_label_is_warned_of(capsys):
    """It would win, or lose, surely and silently."""
    model = ViFiCLIPInferencer('small_world', device='cpu',
                               labels=['a red ring', 'a dog'])
    assert 'a dog' in label_warning(model.classifier)
    assert 'red ring' not in label_warning(model.classifier)
    model.set_labels(['a red ring', 'a blue star'])
    assert not label_warning(model.classifier)


def test_other_models_know_nothing_of_it(tmp_path):
    assert known_pixels(None) is known_pixels('epoch_1.pth') is None
    assert known_pixels('vifi-clip://other') is None
    assert known_pixels(WEIGHTS).kinds[1].mean.shape == (13, )
    classifier = build_model().cls_head.text_classifier
    assert not unknown_texts(classifier, ['any word'])
    classifier.set_classes(['one', 'two', 'three'], source='labels')
    assert not label_warning(classifier)
    classifier.text.token_embedding.weight.data[:] = 1.
    classifier.embedding_cache.clear()
    assert 'cannot tell apart: one, two' in label_warning(classifier)


def test_a_checkpoint_of_ones_own_is_not_bundled(small_inferencer, tmp_path):
    """Though its config is the small world's."""
    path = str(tmp_path / 'own.pth')
    torch.save(dict(state_dict=small_inferencer.model.state_dict()), path)
    video = write_mp4(tmp_path / 'v.mp4')
    own = ViFiCLIPInferencer('small_world', path, device='cpu')
    assert not own.is_bundled and small_inferencer.is_bundled
    assert 'warning' not in next(own.predict(video))
    assert 'warning' in next(small_inferencer.predict(video))
