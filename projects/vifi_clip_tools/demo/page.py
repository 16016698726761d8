"""The page: what stands where, and what happens when it is touched.

Gradio reads its settings when it is imported, so it is not before
:func:`.server.workplace` made them.
"""
import os.path as osp
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Sequence, Tuple

from projects.vifi_clip.apis.familiarity import unknown_message
from projects.vifi_clip.errors import UserError
from .answers import HTML
from .service import (MOST_VIEWS, Recogniser, Request, auto_window,
                      check_video, split_labels)
from .streams import STRIDE, Watched

ATTENTION, TIMELINE = 'Attention', 'Over time'
EMPTY, FIRST = 'Results will appear here.', 'Recognise a video first.'
# Errors with a text for visitors; others are ours, and go to the log.
_EXPECTED = (UserError, ValueError, OSError)
# On a telephone the answer is below the fold.
_SHOW_ANSWER = Path(__file__).with_name('page.js').read_text()
# One request at a time, the others wait in Gradio's queue.
_MODEL = dict(concurrency_id='model', concurrency_limit=1,
              api_visibility='private')
_AT_ONCE = dict(api_visibility='private', show_progress='hidden')
# More pixels would be thrown away, after they were sent.
_CAMERA = dict(video=dict(width=dict(ideal=640), height=dict(ideal=480)))
_METHODS = [('Rollout: through all layers', 'rollout'),
            ('Last layer', 'last'),
            ('Evidence for a label', 'gradient')]


@dataclass(frozen=True)
class Shown:
    """What one visitor's page shows."""
    request: Request  # the answered one; the boxes may have changed since
    labels: List[str]  # best first
    done: FrozenSet[str] = frozenset()  # tabs that are filled


def _alert(error: Exception, path: Optional[str] = None) -> str:
    """Return the message of an error, without the server's folders."""
    text = str(error)
    if path:
        text = text.replace(osp.join(osp.dirname(path), ''), '')
    return HTML.alert(text)


class Handlers:
    """Functions behind the page, from plain values to HTML; the message of an
    error that a visitor can mend takes the answer's place."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser

    def video_changed(self, path: Optional[str]) -> Tuple:
        """Look at a video as it comes, and take the old answers away: the
        answer, the frames, attention, over time, what is shown."""
        text = HTML.note(EMPTY)
        try:
            if path:
                facts = check_video(path, self.recogniser.limits)
                text = HTML.about_video(osp.basename(path), facts)
        except UserError as error:
            text = HTML.alert(str(error))
        return text, '', HTML.note(FIRST), HTML.note(FIRST), None

    def recognise(self, path: Optional[str], labels: str, template: str,
                  threshold: float, num_views: int) -> Tuple:
        """Rank the labels: the answer, the frames, what is shown."""
        try:
            request = self.recogniser.check(path, labels, template, threshold,
                                            num_views)
            result = self.recogniser.recognise(request)
        except _EXPECTED as error:
            return _alert(error, path), None, None
        return (HTML.verdict(request, result),
                HTML.frames(result.frames, 'The frame'),
                Shown(request, [label for label, _ in result.ranking]))

    def attention(self, shown: Optional[Shown], method: str,
                  text: Optional[str]) -> str:
        """Lay attention over the frames."""
        if shown is None:
            return HTML.note(FIRST)
        text = text if text in shown.labels else shown.labels[0]
        try:
            frames = self.recogniser.attention(shown.request, method, text)
        except _EXPECTED as error:
            return _alert(error, shown.request.path)
        remark = 'Blue is little, red is much; each frame has its own scale.'
        if method == 'gradient':
            remark = f'Evidence for "{text}". ' + remark
        return HTML.note(remark) + HTML.frames(frames,
                                               'Attention over the frame')

    def timeline(self, shown: Optional[Shown], window: Optional[float],
                 stride: Optional[float]) -> str:
        """Score sliding windows. Window and stride are seconds; None or 0
        stand for what suits the video."""
        if shown is None:
            return HTML.note(FIRST)
        automatic = auto_window(shown.request.seconds)
        window = window or automatic[0]
        stride = stride or min(automatic[1], window / 2)
        try:
            return HTML.chart(self.recogniser.timeline(
                shown.request, window, stride))
        except _EXPECTED as error:
            return _alert(error, shown.request.path)

    def fill(self, tab: Optional[str], shown: Optional[Shown], method: str,
             text: Optional[str], window: Optional[float],
             stride: Optional[float]) -> Tuple:
        """Fill the tab in view, once for each answer: attention and over
        time, None where nothing changes, and what is shown."""
        maps = chart = None
        if shown and tab in shown.done:
            return maps, chart, shown
        if tab == ATTENTION:
            maps = self.attention(shown, method, text)
        elif tab == TIMELINE:
            chart = self.timeline(shown, window, stride)
        return maps, chart, shown and replace(shown, done=shown.done | {tab})

    def search(self, query: str, topk: float) -> str:
        """Search the index."""
        try:
            hits = HTML.hits(self.recogniser.search(query, int(topk)))
            text = unknown_message(self.recogniser.inferencer.classifier,
                                   [query.strip()])
            return HTML.warnings([text] * bool(text)) + hits
        except _EXPECTED as error:
            return _alert(error)

    def watch(self, name: Optional[str], labels: str,
              watched: Optional[Watched]) -> Tuple:
        """Look at a stream: how it goes, what its newest frames show (None
        where the last answer stays), and what this visitor has seen."""
        if watched is None or watched.name != name:
            watched = Watched(name, time.monotonic())
        recogniser = self.recogniser
        try:
            request = Request('stream', tuple(split_labels(labels)))
            count = recogniser.inferencer.num_frames
            stream = recogniser.streams.reader(name, count)
            frames, came = stream.view(count)
            if came <= watched.came:
                return (HTML.waiting(watched.age, stream.reason),
                        None if watched.lines else '', watched)
            result = recogniser.recognise(replace(request, frames=frames))
        except _EXPECTED as error:
            return _alert(error), None, watched
        watched = watched.add(came, *result.ranking[0])
        return HTML.going(watched), HTML.watched(result, watched), watched


def build_page(handlers: Handlers, about: str, labels: Sequence[str],
               examples: Dict[str, str] = {}) -> Any:
    """Put the page together, Gradio's Blocks: ``about`` is Markdown that says
    which model this is, ``labels`` stand in the text box at first, and
    ``examples`` are videos by their names."""
    import gradio as gr

    # Uploads older than half an hour go while the page is served.
    with gr.Blocks(title='ViFi-CLIP', analytics_enabled=False,
                   delete_cache=(60, 1800)) as page:
        gr.Markdown(f'# ViFi-CLIP\n{about}', elem_classes='vifi-head')
        indexed = handlers.recogniser.index is not None
        streams = handlers.recogniser.streams.names
        with gr.Tab('Video') if indexed or streams else nullcontext():
            _recognise_part(gr, handlers, labels, examples)
        if indexed:
            with gr.Tab('Search'):
                _search_part(gr, handlers)
        if streams:
            with gr.Tab('Streams'):
                _stream_part(gr, handlers, labels)
    page.queue(max_size=32)
    return page


def _recognise_part(gr: Any, handlers: Handlers, labels: Sequence[str],
                    examples: Dict[str, str]) -> None:
    limits = handlers.recogniser.limits
    shown, tab = gr.State(None), gr.State(None)
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            video = gr.Video(
                label=f'Video (up to {limits.upload_mb:g} MB and '
                f'{limits.video_seconds:g} s)', elem_id='vifi-video',
                sources=['upload', 'webcam'],
                webcam_options=gr.WebcamOptions(mirror=False,
                                                constraints=_CAMERA))
            words = _labels_box(gr, labels, 'vifi-labels')
            with gr.Accordion('Options', open=False):
                template = gr.Textbox(
                    label='Sentence', elem_id='vifi-template',
                    info="With {} where the label goes; leave empty for the "
                    "model's own", placeholder='a video of {}')
                threshold = gr.Slider(
                    0, 0.95, 0, step=0.05, elem_id='vifi-threshold',
                    label='Minimum probability', info='If the best label has '
                    'less, the answer is "none of these"; 0 turns this off')
                views = gr.Slider(
                    1, MOST_VIEWS, 1, step=1, elem_id='vifi-views',
                    label='Views', info='Number of samplings to average; '
                    'more is slower')
            start = gr.Button('Recognise', variant='primary',
                              elem_id='vifi-start')
            triggers = [start.click]
            if examples:
                gr.Markdown('Or try an example:')
            with gr.Row(visible=bool(examples)):
                for name, path in examples.items():
                    button = gr.Button(name, size='sm', min_width=90)
                    triggers.append(button.click(
                        lambda path=path: path, None, video, **_AT_ONCE).then)
        with gr.Column(scale=7, min_width=320):
            answer = gr.HTML(HTML.note(EMPTY), elem_id='vifi-answer',
                             container=True, padding=True)
            with gr.Tabs() as tabs:
                with gr.Tab('Frames'):
                    frames = gr.HTML(elem_id='vifi-frames')
                with gr.Tab(ATTENTION):
                    with gr.Row():
                        method = gr.Dropdown(
                            _METHODS, value='rollout', label='Method',
                            elem_id='vifi-method', min_width=200)
                        text = gr.Dropdown([], label='Label', visible=False,
                                           min_width=200)
                    maps = gr.HTML(HTML.note(FIRST), elem_id='vifi-attention')
                with gr.Tab(TIMELINE):
                    with gr.Row():
                        window, stride = (
                            gr.Number(0, label=f'{name} (s)', minimum=0,
                                      min_width=130, info='0: automatic',
                                      elem_id=f'vifi-{name.lower()}')
                            for name in ('Window', 'Stride'))
                    again = gr.Button('Score again', size='sm',
                                      elem_id='vifi-again')
                    chart = gr.HTML(HTML.note(FIRST), elem_id='vifi-timeline')

    def choose(event: gr.SelectData):
        return event.value if event.value in (ATTENTION, TIMELINE) else None

    def offer(shown, method, text):
        labels = shown.labels if shown else []
        return gr.Dropdown(labels, visible=method == 'gradient',
                           value=text if text in labels else
                           next(iter(labels), None))

    def fill(*values):
        return [gr.skip() if new is None else new
                for new in handlers.fill(*values)]

    looking, scoring = [shown, method, text], [shown, window, stride]
    filling = dict(fn=fill, inputs=[tab, *looking, window, stride],
                   outputs=[maps, chart, shown], **_MODEL)
    tabs.select(choose, None, tab, queue=False, **_AT_ONCE).then(**filling)
    method.input(offer, looking, text, api_visibility='private').then(
        handlers.attention, looking, maps, **_MODEL)
    text.input(handlers.attention, looking, maps, **_MODEL)
    again.click(handlers.timeline, scoring, chart, **_MODEL)
    # Not video.change: an example's would race with its own answer.
    gr.on([video.upload, video.clear, video.stop_recording],
          handlers.video_changed, video, [answer, frames, maps, chart, shown],
          show_progress='hidden', **_MODEL)
    for trigger in triggers:
        trigger(handlers.recognise, [video, words, template, threshold, views],
                [answer, frames, shown], show_progress_on=answer, **_MODEL
                ).then(None, js=_SHOW_ANSWER).then(
            offer, looking, text, **_AT_ONCE).then(**filling)


def _search_part(gr: Any, handlers: Handlers) -> None:
    count = len(handlers.recogniser.index)
    with gr.Row(equal_height=True):
        query = gr.Textbox(label='What to look for', scale=6, min_width=240,
                           elem_id='vifi-query', max_lines=1,
                           info=f'Searches {count} embeddings',
                           placeholder='a dog catching a frisbee')
        topk = gr.Slider(1, 24, 6, step=1, label='Results', scale=2,
                         min_width=160)
    start = gr.Button('Search', variant='primary', elem_id='vifi-find')
    hits = gr.HTML(elem_id='vifi-hits')
    for trigger in start.click, query.submit:
        trigger(handlers.search, [query, topk], hits, **_MODEL)


def _stream_part(gr: Any, handlers: Handlers, labels: Sequence[str]) -> None:
    names = handlers.recogniser.streams.names
    watched, clock = gr.State(None), gr.Timer(STRIDE, active=False)
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            name = gr.Radio(names, value=names[0], label='Stream',
                            elem_id='vifi-stream')
            words = _labels_box(gr, labels, 'vifi-stream-labels')
            with gr.Row():
                start = gr.Button('Start', variant='primary', min_width=90)
                stop = gr.Button('Stop', interactive=False, min_width=90,
                                 elem_id='vifi-stop')
        with gr.Column(scale=7, min_width=320):
            going = gr.HTML(HTML.note('Press Start.'), elem_id='vifi-going',
                            container=True, padding=True)
            answer = gr.HTML(elem_id='vifi-watched')

    def switch(active):
        return [gr.Timer(active=active), gr.Button(interactive=not active),
                gr.Button(interactive=active)]

    def look(*values):
        return [gr.skip() if new is None else new
                for new in handlers.watch(*values)]

    start.click(lambda: [*switch(True), None], None,
                [clock, start, stop, watched], queue=False, **_AT_ONCE)
    stop.click(lambda: switch(False), None, [clock, start, stop], queue=False,
               **_AT_ONCE)
    # A look that comes while one is under way is left out.
    clock.tick(look, [name, words, watched], [going, answer, watched],
               show_progress='hidden', trigger_mode='once', **_MODEL)


def _labels_box(gr: Any, labels: Sequence[str], name: str) -> Any:
    return gr.Textbox(
        label='Labels', value='\n'.join(labels), lines=4, max_lines=10,
        elem_id=name, info='Candidate labels, separated by commas or new '
        'lines', placeholder='arm wrestling, playing cards, cooking')


def theme() -> Any:
    """Return Gradio's own theme, in fonts that the visitor's machine has."""
    import gradio as gr

    subdued = dict.fromkeys(
        ('body_text_color_subdued', 'block_info_text_color'), '*neutral_500')
    dark = {f'{name}_dark': '*neutral_400' for name in subdued}
    return gr.themes.Default(
        primary_hue='blue', font=['system-ui', 'sans-serif'],
        font_mono=['ui-monospace', 'monospace']
    ).set(**subdued, **dark)  # as it is, too pale to read
