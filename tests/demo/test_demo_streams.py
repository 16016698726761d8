"""Streams on the page, without Gradio."""
import re
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from helpers import served, until

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.demo import streams
from projects.vifi_clip_tools.demo.page import Handlers
from projects.vifi_clip_tools.demo.server import LABELS
from projects.vifi_clip_tools.demo.service import Recogniser
from projects.vifi_clip_tools.demo.streams import Streams

WORDS = '\n'.join(LABELS)


@pytest.fixture
def watch(inferencer):
    """Make a page with streams: its handler, and the Streams."""
    pages = []

    def start(*addresses):
        named = Streams(addresses)
        pages.append(Recogniser(inferencer, streams=named))
        return Handlers(pages[-1]).watch, named

    yield start
    for page in pages:
        page.close()


def test_a_stream_that_is_down_comes_and_goes(watch, content):
    with served(content) as address:
        pass  # a port that is free
    name = address.partition('?')[0]
    look, _ = watch(address + '?token=secret')
    seen = None

    def going():
        nonlocal seen
        text, answer, seen = look(name, WORDS, seen)
        assert 'secret' not in text
        return text, answer

    until(lambda: 'refused' in going()[0])
    assert seen.lines == () and going()[1] == ''
    with served(content, port=urlsplit(address).port):
        until(lambda: going()[1])
        until(lambda: going() and len(seen.lines) == 2)
        text, answer, _ = look(name, 'a purple moon, a red ring', None)
        assert re.search(r'Delay: \d+\.\d s', text)
        assert '<strong>a purple moon</strong>' in answer
        assert '<img src="data:' in answer
    until(lambda: 'Connecting again' in going()[0])
    assert 2 <= len(seen.lines) <= 20


def test_visitors_share_a_reader_that_ends_without_them(
        watch, content, monkeypatch):
    monkeypatch.setattr(streams, '_IDLE', .5)
    with served(content) as address:
        look, named = watch(address)
        reader = named.reader(address, 8)
        for _ in range(2):
            until(lambda: look(address, 'a moon, a ring', None)[1])
            assert named.reader(address, 8) is reader
        until(lambda: reader.ended)
        until(lambda: look(address, 'a moon, a ring', None)[1])


def test_what_visitors_see_and_may_ask_for(watch):
    first, second = ('http://me:secret@127.0.0.1:9/live?cam=1',
                     'http://me:secret@127.0.0.1:9/live?cam=2')
    look, named = watch(first, second)
    assert named.names == ['http://127.0.0.1:9/live',
                           'http://127.0.0.1:9/live (2)']
    for name in (None, first, 'http://127.0.0.1:9/other'):
        text, answer, _ = look(name, 'a, b', None)
        assert 'role="alert"' in text and answer is None
    assert 'labels' in look(named.names[0], ' ', None)[0]
    with pytest.raises(UserError, match='without --stream'):
        Streams(['/etc/passwd'])


def test_readers_end_with_the_page(inferencer, content):
    with served(content) as address:
        named = Streams([address])
        with closing(Recogniser(inferencer, streams=named)):
            reader = named.reader(address, 8)
        assert reader.ended
