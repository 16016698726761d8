"""What visitors may give, what the page computes, and answers as HTML, without
Gradio."""
import base64
import csv
import io
import json
import re
import shutil
import threading
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import write_mp4

from projects.vifi_clip.apis.pipeline import Timeline
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip_tools.demo.answers import HTML, percent
from projects.vifi_clip_tools.demo.downloads import links
from projects.vifi_clip_tools.demo.options import Limits
from projects.vifi_clip_tools.demo.page import (ATTENTION, FIRST, TIMELINE,
                                                Handlers)
from projects.vifi_clip_tools.demo.server import LABELS
from projects.vifi_clip_tools.demo.service import (
    MOST_LABELS, Frames, Recogniser, Recognition, Request, Worker, auto_window,
    check_video, split_labels)

WORDS = '\n'.join(LABELS)
EVIL = '<script>alert(1)</script>"&'


@pytest.fixture
def recogniser(inferencer):
    with closing(Recogniser(inferencer)) as recogniser:
        yield recogniser


@pytest.fixture
def handlers(recogniser):
    return Handlers(recogniser)


@pytest.mark.parametrize('num_views', [1, 2])
def test_scores_are_those_of_the_inferencer(
        recogniser, inferencer, examples, num_views):
    path = examples['Three scenes']
    result = recogniser.recognise(
        recogniser.check(path, WORDS, num_views=num_views))
    expected, = inferencer(path, labels=LABELS,
                           num_views=num_views)['predictions']
    assert result.label == expected['label']
    assert result.ranking == [
        (label, pytest.approx(score, abs=1e-5)) for label, score in
        zip(expected['labels'], expected['scores'])]
    frames = result.frames
    assert len(frames.images) == len(frames.times) == inferencer.num_frames
    # Each frame as a video of its own, through the whole model.
    for image, (label, score) in zip(frames.images, frames.captions):
        alone = inferencer.video_scores(np.repeat(image[None], 8, 0))
        assert LABELS[alone.argmax()] == label
        assert alone.max() == pytest.approx(score, abs=1e-4)
    names = [label for label, _ in frames.captions]
    assert names[0] == 'a red ring spinning'
    assert names[-1] == 'an orange cross pulsing'


def test_threshold_and_template(recogniser, examples):
    path = examples['Blue star']
    even = 'a blue star orbiting, a blue star spinning'
    request = recogniser.check(path, even, threshold=0.95)
    result = recogniser.recognise(request)
    assert result.ranking[0][1] < 0.95  # else this tests nothing
    assert result.label == 'none of these'
    low = recogniser.recognise(replace(request, threshold=0.05))
    assert low.label == result.ranking[0][0]
    odd = recogniser.recognise(replace(request, template='green, not {}'))
    assert dict(odd.ranking) != pytest.approx(dict(result.ranking), abs=1e-3)


def test_a_toy_says_what_it_does_not_know(recogniser, examples, tmp_path):
    strange = write_mp4(tmp_path / 'v.mp4')
    for path, words, count in ((examples['Blue star'], WORDS, 0),
                               (examples['Blue star'], 'a star, a dog', 1),
                               (strange, 'a star, a dog', 2)):
        request = recogniser.check(path, words)
        result = recogniser.recognise(request)
        assert len(result.warnings) == count
        assert HTML.verdict(request, result).count('vifi-warning') == count


def test_label_sets_of_visitors_do_not_mix(recogniser, examples):
    requests = [recogniser.check(examples[name], words) for name, words in (
        ('Blue star', 'a blue star, a red ring'),
        ('Purple moon', 'a cat, a purple moon, a dog'))]
    alone = [recogniser.recognise(request).ranking for request in requests]
    with ThreadPoolExecutor(2) as visitors:
        together = [answer.ranking for answer in visitors.map(
            recogniser.recognise, requests * 6)]
    for i, ranking in enumerate(together):
        assert dict(ranking) == pytest.approx(dict(alone[i % 2]))


def test_a_decoder_that_crashes(recogniser, examples, bad_decoder, tmp_path):
    """Answers that visitor, and the next one as ever."""
    path = str(tmp_path / 'crash.mp4')
    shutil.copy(examples['Blue star'], path)
    with pytest.raises(UnreadableVideo, match='SIGSEGV'):
        recogniser.recognise(recogniser.check(path, WORDS))
    assert recogniser.recognise(
        recogniser.check(examples['Blue star'], WORDS)).ranking


def test_timeline(recogniser, examples):
    request = recogniser.check(examples['Three scenes'], WORDS)
    result = recogniser.timeline(request, *auto_window(request.seconds))
    best = [LABELS[i] for i in result.scores.argmax(1)]
    assert best[0] == 'a red ring spinning'
    assert 'a green heart blinking' in best
    assert best[-1] == 'an orange cross pulsing'
    for seconds in (0.5, 3, 9.6, 599):
        window, stride = auto_window(seconds)
        assert 0 < stride <= window <= max(seconds, 0.2)
        assert (seconds - window) / stride < 12
    for window, stride in (0, 1), (1, -1), (0.1, 0.001):
        with pytest.raises(UserError, match='window|stride'):
            recogniser.timeline(request, window, stride)


def test_long_work_is_stopped_between_its_parts(inferencer, examples):
    with closing(Recogniser(inferencer, Limits(seconds=1e-3))) as page:
        request = page.check(examples['Three scenes'], WORDS)
        with pytest.raises(UserError):
            page.timeline(request, 1, 0.1)
    # The limit went with the page that set it.
    assert inferencer.frame_embeddings(
        inferencer.sample(examples['Blue star']).images).shape[0] == 8


def test_jobs_are_given_up_and_end_themselves():
    worker, ran = Worker(0.1), []
    started, leave, ended = (threading.Event() for _ in range(3))

    def long_job():
        started.set()
        try:
            leave.wait()
            while True:
                worker.check()
        finally:
            ended.set()

    while not started.is_set():  # on a busy machine not in time
        with pytest.raises(UserError):
            worker.run(long_job)
    with pytest.raises(UserError, match='busy'):
        worker.run(lambda: ran.append(1))
    leave.set()
    assert ended.wait(60)
    worker.seconds = 60
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0)
    worker.close()
    assert not ran  # nobody waits for it any more


def test_errors_are_on_the_page(handlers, examples, tmp_path):
    path = Path(write_mp4(tmp_path / 'half.mp4', 60, faststart=True))
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) * 2 // 3])
    given = dict(path=examples['Blue star'], labels=WORDS, template='',
                 threshold=0, num_views=1)
    for values, told in (
            (dict(path=None), 'video'), (dict(labels=' '), 'labels'),
            (dict(labels='one', threshold=0.5), 'two labels'),
            (dict(template='x'), '{}'),
            # does not fit the tower; breaks off
            (dict(labels='a, ' + 'b ' * 95), 'b b b'),
            (dict(path=str(path)), 'half.mp4')):
        answer, *more = handlers.recognise(*{**given, **values}.values())
        assert 'role="alert"' in answer and told in answer
        assert str(tmp_path) not in answer and more == [None, None]


def test_a_new_video_takes_the_old_answer_away(handlers, examples, tmp_path):
    outputs = handlers.video_changed(examples['Blue star'])
    assert 'blue_star.mp4' in outputs[0] and '64 x 64' in outputs[0]
    assert outputs[1] == '' and outputs[4] is None
    assert FIRST in outputs[2] and FIRST in outputs[3]
    bad = tmp_path / 'bad.mp4'
    bad.write_text('no video')
    assert 'role="alert"' in handlers.video_changed(str(bad))[0]
    assert 'role="alert"' not in handlers.video_changed(None)[0]


def test_tabs_are_filled_once_for_each_answer(handlers, examples, tmp_path):
    shown = handlers.recognise(examples['Blue star'], WORDS, '', 0, 1)[2]
    boxes = 'rollout', None, 0, 0
    for method in 'rollout', 'last', 'gradient':
        picture = handlers.attention(shown, method, 'not a label')
        assert picture.count('<figure>') == 8
    assert 'a blue star blinking' in picture
    chart = handlers.timeline(shown, 0, None)
    assert 'a blue star blinking' in chart and '<svg' in chart
    gone = replace(shown, request=replace(
        shown.request, path=str(tmp_path / 'gone.mp4')))
    for i, tab in enumerate((ATTENTION, TIMELINE)):
        assert FIRST in handlers.fill(tab, None, *boxes)[i]
        *texts, after = handlers.fill(tab, gone, *boxes)
        assert 'role="alert"' in texts[i] and 'gone.mp4' in texts[i]
        assert texts[1 - i] is None
        assert handlers.fill(tab, after, *boxes) == (None, None, after)


def test_labels_come_with_commas_or_lines():
    assert split_labels(' a dog,a cat \n\n a bird,, a dog\n') == [
        'a dog', 'a cat', 'a bird']
    # as on the command line: in one spelling, by their numbers
    with pytest.warns(UserWarning, match='taken for labels'):
        assert split_labels('1 cafe\u0301\n0 "a, b"\n') == [
            'a, b', 'caf\u00e9']
    with pytest.raises(ValueError, match='multi-label'):
        split_labels('lecture;indoor')
    # A file would show the server's files to whoever asks.
    assert split_labels(__file__) == [__file__]
    for text in (None, ' ,\n, ', 'x' * 201,
                 ','.join(map(str, range(MOST_LABELS + 1)))):
        with pytest.raises(UserError):
            split_labels(text)


@pytest.mark.parametrize('codec, suffix, options, plays', [
    ('libx264', 'mp4', {}, True), ('mpeg4', 'avi', {}, False),
    ('mpeg4', 'mp4', {}, False), ('libvpx', 'webm', {}, True),
    # MediaRecorder writes a live stream: no duration anywhere.
    ('libvpx', 'webm', dict(live='1'), True)])
def test_a_video_is_looked_into(tmp_path, codec, suffix, options, plays):
    path, black = str(tmp_path / f'a.{suffix}'), np.zeros((48, 64, 3), 'u1')
    with av.open(path, 'w', options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for _ in range(31):
            container.mux(stream.encode(
                av.VideoFrame.from_ndarray(black, format='rgb24')))
        container.mux(stream.encode())
    facts = check_video(path, Limits())
    assert (facts.width, facts.height, facts.plays) == (64, 48, plays)
    assert facts.seconds == pytest.approx(3, abs=0.11)


def test_videos_that_are_refused(tmp_path):
    sound = tmp_path / 'sound.wav'
    with wave.open(str(sound), 'wb') as file:
        file.setparams((1, 2, 8000, 800, 'NONE', ''))
        file.writeframes(bytes(1600))
    path = write_mp4(tmp_path / 'a.mp4', 30, fps=10)
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'text.mp4').write_text('hello world' * 100)
    refusals = [(str(tmp_path / name), Limits(), name) for name in (
        'gone.mp4', 'sound.wav', 'empty.mp4', 'text.mp4')]
    for file, limits, told in (
            *refusals, (None, Limits(), 'video'),
            (path, Limits(upload_mb=0.0001), '0.0001 MB'),
            (path, Limits(video_seconds=2.5), '3 s')):
        with pytest.raises(UserError, match=told) as error:
            check_video(file, limits)
        assert str(tmp_path) not in str(error.value)


def make_frames(captions=()):
    images = np.zeros((2, 6, 8, 3), np.uint8)
    images[1, :, :, 0] = 255
    return Frames(images, np.array([0.5, 1.5]), captions)


def verdict(ranking, label=None, threshold=0.):
    request = Request('/x/a.mp4', tuple(dict(ranking)), threshold=threshold)
    return HTML.verdict(request, Recognition(
        label or ranking[0][0], ranking, make_frames()))


def make_timeline(scores, labels=('a', 'b')):
    return Timeline(np.arange(len(scores)) + 0.5,
                    np.array(scores, np.float32), list(labels), 1.)


def test_nothing_that_visitors_type_becomes_markup():
    for text in (HTML.alert(EVIL), HTML.note(EVIL),
                 verdict([(EVIL, 0.9), ('b', 0.1)]),
                 verdict([(EVIL, 0.9), ('b', 0.1)], 'none of these', 0.95),
                 HTML.frames(make_frames([(EVIL, 1.), (EVIL, 1.)]), EVIL),
                 HTML.chart(make_timeline([[0.7, 0.3]], [EVIL, 'b']))):
        assert '<script' not in text and '&lt;script' in text


def test_bars():
    text = verdict([('a', 0.75), ('b', 0.25)])
    assert re.findall(r'style="width:([\d.]+)%', text) == ['75.00', '25.00']
    assert text.index('>a<') < text.index('>b<')
    text = verdict([(f'label {i}', 0.05) for i in range(20)])
    assert '<summary>10 more</summary>' in text and 'label 19' in text
    assert [percent(x) for x in (0, 1e-6, 0.0123, 1)] == [
        '0.0%', '<0.1%', '1.2%', '100.0%']


def test_downloads(recogniser, examples):
    """What they hold is what the answer says."""
    request = recogniser.check(examples['Blue star'], 'a "star", a, b')
    result = recogniser.recognise(request)
    html = HTML.verdict(request, result)
    files = {name: base64.b64decode(data).decode() for data, name in
             re.findall(r'base64,([^"]+)" download="([^"]+)"', html)}
    rows = list(csv.DictReader(io.StringIO(files['blue_star.csv'])))
    assert [(row['label'], float(row['score'])) for row in rows
            ] == result.ranking
    content = json.loads(files['blue_star.json'])
    assert list(zip(content['labels'], content['scores'])) == result.ranking
    assert content['label'] == result.label


@pytest.mark.parametrize('label', [
    '=HYPERLINK("http://x")', '@SUM(A1)', '-1+1', '＝1+1', "'=1", 'a=b'])
def test_a_table_has_no_formulas(label):
    """The other file has the labels as they are."""
    request = Request('/x/a.mp4', (label, 'b'))
    table, content = (
        base64.b64decode(file['address'].partition(',')[2]).decode() for file
        in links(request, Recognition(label, [(label, .7), ('b', .3)],
                                      make_frames())))
    row = list(csv.reader(io.StringIO(table)))[1]
    assert row == [("'" if label[0] in '=@-＝' else '') + label, '0.7']
    assert json.loads(content)['labels'] == [label, 'b']


def test_chart():
    lines = re.findall(r'points="([^"]+)"', HTML.chart(
        make_timeline([[.9, .1], [.25, .75]])))
    assert lines == ['0.00,10.00 25.00,10.00 75.00,75.00 100.00,75.00',
                     '0.00,90.00 25.00,90.00 75.00,25.00 100.00,25.00']
    assert 'a at the start, b from 2.5 s' in HTML.chart(
        make_timeline([[.9, .1], [.8, .2], [.3, .7]]))
