"""What the page shows after each touch, without Gradio."""
from pathlib import Path

import pytest
from helpers import write_mp4

from projects.vifi_clip_tools.demo.examples import LABELS
from projects.vifi_clip_tools.demo.handlers import (ATTENTION, FIRST, TIMELINE,
                                                    Handlers)

WORDS = ', '.join(LABELS)


@pytest.fixture
def handlers(recogniser):
    return Handlers(recogniser)


@pytest.fixture
def shown(handlers, examples):
    return handlers.recognise(examples['Blue star'], WORDS, '', 0, 1)[2]


def test_recognise(handlers, examples):
    answer, frames, shown = handlers.recognise(
        examples['Blue star'], WORDS, '', 0, 2)
    assert '<strong>a blue star blinking</strong>' in answer
    assert frames.count('<figure>') == 8
    assert shown.labels[0] == 'a blue star blinking'
    assert shown.request.num_views == 2 and not shown.done


@pytest.mark.parametrize('values, told', [
    (dict(path=None), 'no video yet'),
    (dict(labels=' '), 'no labels'),
    (dict(labels='one', threshold=0.5), 'at least two labels'),
    (dict(template='x'), 'must have {} once'),
    (dict(labels='a, ' + 'b ' * 95), 'b b b'),  # does not fit the tower
])
def test_errors_are_on_the_page(handlers, examples, values, told):
    given = dict(path=examples['Blue star'], labels=WORDS, template='',
                 threshold=0, num_views=1)
    answer, frames, shown = handlers.recognise(*{**given, **values}.values())
    assert 'role="alert"' in answer and told in answer
    assert frames is None and shown is None


def test_a_video_that_breaks_off_names_no_folder(handlers, tmp_path):
    path = Path(write_mp4(tmp_path / 'half.mp4', 60, faststart=True))
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) * 2 // 3])
    answer, _, shown = handlers.recognise(str(path), WORDS, '', 0, 1)
    assert shown is None and 'role="alert"' in answer
    assert 'half.mp4 cannot be read' in answer
    assert str(tmp_path) not in answer


def test_a_new_video_takes_the_old_answer_away(handlers, examples, tmp_path):
    outputs = handlers.video_changed(examples['Blue star'])
    assert 'blue_star.mp4' in outputs[0] and '64 x 64' in outputs[0]
    assert outputs[1] == '' and outputs[4] is None
    assert FIRST in outputs[2] and FIRST in outputs[3]
    bad = tmp_path / 'bad.mp4'
    bad.write_text('no video')
    outputs = handlers.video_changed(str(bad))
    assert 'role="alert"' in outputs[0] and 'bad.mp4 cannot' in outputs[0]
    assert 'comes here' in handlers.video_changed(None)[0]


def test_tabs_before_an_answer(handlers):
    assert FIRST in handlers.attention(None, 'rollout', None)[0]
    assert FIRST in handlers.timeline(None, 0, 0)[0]


def test_attention_is_of_the_answer(handlers, shown):
    picture, after = handlers.attention(shown, 'gradient', 'not a label')
    assert picture.count('<figure>') == 8
    assert 'What speaks for &quot;a blue star blinking&quot;' in picture
    assert after.done == {ATTENTION} and after.request is shown.request


def test_towers_without_attention_say_so(handlers, shown, monkeypatch):
    from projects.vifi_clip.errors import UserError

    def refuse(*_, **__):
        raise UserError('this tower has no class token')

    monkeypatch.setattr(
        'projects.vifi_clip_tools.attention.maps.attention_maps', refuse)
    picture, after = handlers.attention(shown, 'rollout', None)
    assert 'this tower has no class token' in picture
    assert after.done == {ATTENTION}  # not asked again at each visit


def test_timeline(handlers, shown):
    text, after = handlers.timeline(shown, 0, None)
    assert 'Best label: a blue star blinking' in text and '<svg' in text
    assert after.done == {TIMELINE}
    assert '1 window of' in handlers.timeline(shown, 99, 1)[0]
    assert 'role="alert"' in handlers.timeline(shown, 0.1, 1e-4)[0]


def test_a_video_that_is_gone(handlers, shown, tmp_path):
    from dataclasses import replace
    gone = replace(shown, request=replace(
        shown.request, path=str(tmp_path / 'gone.mp4')))
    for text, _ in (handlers.attention(gone, 'rollout', None),
                    handlers.timeline(gone, 0, 0)):
        assert 'role="alert"' in text and 'gone.mp4' in text
        assert str(tmp_path) not in text
