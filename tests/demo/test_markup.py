"""Answers as HTML."""
import base64
import io
import re

import numpy as np
from PIL import Image

from projects.vifi_clip.apis.sampling import Timeline
from projects.vifi_clip_tools.demo import markup
from projects.vifi_clip_tools.demo.answers import Frames, Recognition, Request
from projects.vifi_clip_tools.demo.chart import chart, course

EVIL = '<script>alert(1)</script>"&'


def _frames(captions=()):
    images = np.zeros((2, 6, 8, 3), np.uint8)
    images[1, :, :, 0] = 255
    return Frames(images, np.array([0.5, 1.5]), captions)


def _answer(ranking, label=None, threshold=0.):
    request = Request('/x/a.mp4', tuple(dict(ranking)),
                      threshold=threshold)
    return markup.verdict(
        request, Recognition(label or ranking[0][0], ranking, _frames()))


def _timeline(scores, labels):
    times = np.arange(len(scores)) + 0.5
    return Timeline(times, np.array(scores, np.float32), labels, 1.)


def test_nothing_that_visitors_type_becomes_markup():
    timeline = _timeline([[0.7, 0.3]], [EVIL, 'b'])
    for text in (markup.alert(EVIL), markup.note(EVIL),
                 _answer([(EVIL, 0.9), ('b', 0.1)]),
                 _answer([(EVIL, 0.9), ('b', 0.1)], 'none of these', 0.95),
                 markup.frames(_frames([(EVIL, 1.), (EVIL, 1.)]), EVIL),
                 chart(timeline)):
        assert '<script' not in text and '&lt;script' in text


def test_bars_are_as_long_as_the_scores():
    text = _answer([('a', 0.75), ('b', 0.25)])
    assert re.findall(r'style="width:([\d.]+)%', text) == ['75.00', '25.00']
    assert text.index('>a<') < text.index('>b<')


def test_long_rankings_are_folded():
    text = _answer([(f'label {i}', 0.05) for i in range(20)])
    assert '<summary>10 more</summary>' in text and 'label 19' in text


def test_none_of_these_says_why():
    text = _answer([('a', 0.4), ('b', 0.3)], 'none of these', 0.5)
    assert 'None of these' in text and '40.0%' in text and '50.0%' in text


def test_one_label_is_explained():
    assert 'always has 100%' in _answer([('a', 1.)])


def test_percent():
    assert [markup.percent(x) for x in (0, 1e-6, 0.0123, 1)] == [
        '0.0%', '&lt;0.1%', '1.2%', '100.0%'
    ]


def test_pictures_are_in_the_page():
    text = markup.frames(_frames([('a', 0.5), ('b', 0.6)]), 'Frame')
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    first, second = (np.asarray(Image.open(io.BytesIO(
        base64.b64decode(data)))) for data in found)
    assert first.max() < 10 and second[..., 0].min() > 245
    assert first.shape == (240, 320, 3)
    assert '0.50 s' in text and '1.50 s' in text


def test_course_of_a_timeline():
    timeline = _timeline([[.9, .1], [.8, .2], [.3, .7]], ['a', 'b'])
    assert course(timeline) == 'Best label: a at the start, b from 2.5 s.'
    assert course(_timeline([[.9, .1]], ['a', 'b'])) == (
        'Best label: a throughout.')


def test_lines_go_from_edge_to_edge():
    lines = re.findall(r'points="([^"]+)"',
                       chart(_timeline([[.9, .1], [.25, .75]], ['a', 'b'])))
    assert lines == ['0.00,10.00 25.00,10.00 75.00,75.00 100.00,75.00',
                     '0.00,90.00 25.00,90.00 75.00,25.00 100.00,25.00']
