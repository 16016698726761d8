"""What the page computes, with the small world's model."""
import threading

import numpy as np
import pytest

from projects.vifi_clip_tools.demo.examples import LABELS
from projects.vifi_clip_tools.demo.limits import Limits
from projects.vifi_clip_tools.demo.service import Recogniser, auto_window
from projects.vifi_clip.errors import UserError

WORDS = '\n'.join(LABELS)


def test_an_example_is_recognised(recogniser, examples):
    request = recogniser.check(examples['Blue star'], WORDS)
    result = recogniser.recognise(request)
    assert result.label == 'a blue star blinking'
    assert [label for label, _ in result.ranking][0] == result.label
    scores = [score for _, score in result.ranking]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    assert {label for label, _ in result.ranking} == set(LABELS)


@pytest.mark.parametrize('num_views', [1, 2])
def test_scores_are_those_of_the_inferencer(recogniser, inferencer, examples,
                                            num_views):
    path = examples['Three scenes']
    found = recogniser.recognise(
        recogniser.check(path, WORDS, num_views=num_views))
    expected = inferencer(path, labels=LABELS, num_views=num_views)
    expected, = expected['predictions']
    assert found.ranking == [
        (label, pytest.approx(score, abs=1e-5)) for label, score in
        zip(expected['labels'], expected['scores'])
    ]


def test_frames_have_their_own_scores(recogniser, inferencer, examples):
    request = recogniser.check(examples['Three scenes'], WORDS)
    frames = recogniser.recognise(request).frames
    assert len(frames.images) == len(frames.times) == inferencer.num_frames
    # Each frame as a video of its own, through the whole model.
    for image, (label, score) in zip(frames.images, frames.captions):
        alone = inferencer.video_scores(np.repeat(image[None], 8, 0))
        assert LABELS[alone.argmax()] == label
        assert alone.max() == pytest.approx(score, abs=1e-4)
    named = [label for label, _ in frames.captions]
    assert named[0] == 'a red ring spinning'
    assert named[-1] == 'an orange cross pulsing'


def test_threshold(recogniser, examples):
    path = examples['Blue star']
    even = 'a blue star orbiting, a blue star spinning'
    request = recogniser.check(path, even, threshold=0.95)
    result = recogniser.recognise(request)
    assert result.ranking[0][1] < 0.95  # else this tests nothing
    assert result.label == 'none of these'
    request = recogniser.check(path, even, threshold=0.05)
    assert recogniser.recognise(request).label == result.ranking[0][0]


@pytest.mark.parametrize('settings, told', [
    (dict(labels=''), 'no labels'),
    (dict(labels='one', threshold=0.5), 'at least two'),
    (dict(template='no place'), '{} once'),
    (dict(template='{} and {}'), '{} once'),
    (dict(path=None), 'no video'),
])
def test_what_is_missing_is_said(recogniser, examples, settings, told):
    values = dict(path=examples['Blue star'], labels=WORDS)
    with pytest.raises(UserError, match=told):
        recogniser.check(**{**values, **settings})


def test_templates_count(recogniser, examples):
    path = examples['Blue star']
    plain = recogniser.recognise(recogniser.check(path, WORDS)).ranking
    odd = recogniser.recognise(
        recogniser.check(path, WORDS, 'green hearts, not {}')).ranking
    assert dict(plain) != pytest.approx(dict(odd), abs=1e-3)
    again = recogniser.recognise(recogniser.check(path, WORDS)).ranking
    assert dict(plain) == pytest.approx(dict(again))


def test_label_sets_of_visitors_do_not_mix(recogniser, examples):
    visitors = [('Blue star', 'a blue star, a red ring'),
                ('Purple moon', 'a cat, a purple moon, a dog')]
    requests = [recogniser.check(examples[name], words)
                for name, words in visitors]
    alone = [recogniser.recognise(request).ranking for request in requests]
    found = {}

    def visit(number):
        for turn in range(6):
            found[number, turn] = recogniser.recognise(
                requests[number]).ranking

    threads = [threading.Thread(target=visit, args=(i, )) for i in (0, 1)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(found) == 12
    for (number, _), ranking in found.items():
        assert dict(ranking) == pytest.approx(dict(alone[number]))


@pytest.mark.parametrize('method', ['rollout', 'last', 'gradient'])
def test_attention(recogniser, examples, method):
    request = recogniser.check(examples['Blue star'], WORDS)
    shown = recogniser.attention(request, method)
    plain = recogniser.recognise(request).frames
    assert shown.images.dtype == np.uint8 and len(shown.images) == 8
    assert np.array_equal(shown.times, plain.times)
    assert shown.images.shape[1] >= 180  # laid over, not the frame itself


def test_timeline_finds_the_scenes(recogniser, examples):
    request = recogniser.check(examples['Three scenes'], WORDS)
    result = recogniser.timeline(request, *auto_window(request.seconds))
    best = [LABELS[i] for i in result.scores.argmax(1)]
    assert best[0] == 'a red ring spinning'
    assert 'a green heart blinking' in best
    assert best[-1] == 'an orange cross pulsing'


@pytest.mark.parametrize('window, stride, told', [
    (0, 1, 'window'), (1, -1, 'stride'), (0.1, 0.001, 'windows; at most')
])
def test_timeline_of_bad_lengths(recogniser, examples, window, stride, told):
    request = recogniser.check(examples['Three scenes'], WORDS)
    with pytest.raises(UserError, match=told):
        recogniser.timeline(request, window, stride)


def test_long_work_is_stopped_between_its_parts(inferencer, examples):
    recogniser = Recogniser(inferencer, Limits(seconds=1e-3))
    try:
        request = recogniser.check(examples['Three scenes'], WORDS)
        with pytest.raises(UserError, match='longer than|busy'):
            recogniser.timeline(request, 1, 0.1)
    finally:
        recogniser.close()
    # The limit went with the page that set it.
    assert inferencer.frame_scores(
        inferencer.sample(examples['Blue star']).images).shape[0] == 8


def test_automatic_windows():
    for seconds in (0.5, 3, 9.6, 599):
        window, stride = auto_window(seconds)
        assert 0 < stride <= window <= max(seconds, 0.2)
        assert (seconds - window) / stride < 12
