"""The page: what stands where, and what happens when it is touched.

Gradio reads its settings when it is imported, so it is not before
:func:`.server.workplace` made them.
"""
import os.path as osp
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (Any, Callable, FrozenSet, List, Mapping, Optional,
                    Sequence, Tuple)

from projects.vifi_clip.errors import UserError
from . import markup
from .limits import check_video
from .markup import note
from .service import MOST_VIEWS, Recogniser, Request, auto_window

ATTENTION, TIMELINE = 'attention', 'timeline'
FIRST = 'Recognise a video first.'
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
            ('What speaks for a label', 'gradient')]


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
    return markup.alert(text)


class Handlers:
    """Functions behind the page, from plain values to HTML; the message of an
    error that a visitor can mend takes the answer's place."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser

    def video_changed(self, path: Optional[str]) -> Tuple:
        """Look at a video as it comes, and take the old answers away: the
        answer, the frames, attention, over time, what is shown."""
        text = note('The answer comes here.')
        try:
            if path:
                facts = check_video(path, self.recogniser.limits)
                text = markup.about_video(osp.basename(path), facts)
        except UserError as error:
            text = markup.alert(str(error))
        return text, '', note(FIRST), note(FIRST), None

    def recognise(self, path: Optional[str], labels: str, template: str,
                  threshold: float, num_views: int) -> Tuple:
        """Rank the labels: the answer, the frames, what is shown."""
        try:
            request = self.recogniser.check(path, labels, template, threshold,
                                            num_views)
            result = self.recogniser.recognise(request)
        except _EXPECTED as error:
            return _alert(error, path), None, None
        return (markup.verdict(request, result),
                markup.frames(result.frames, 'The frame'),
                Shown(request, [label for label, _ in result.ranking]))

    def attention(self, shown: Optional[Shown], method: str,
                  text: Optional[str]) -> Tuple:
        """Lay attention over the frames: the frames, what is shown."""
        if shown is None:
            return note(FIRST), None
        # Also after an error: a tower without attention says it once.
        done = replace(shown, done=shown.done | {ATTENTION})
        text = text if text in shown.labels else shown.labels[0]
        try:
            frames = self.recogniser.attention(shown.request, method, text)
        except _EXPECTED as error:
            return _alert(error, shown.request.path), done
        remark = 'Blue to red: more; each frame has a scale of its own.'
        if method == 'gradient':
            remark = f'What speaks for "{text}". ' + remark
        return (note(remark)
                + markup.frames(frames, 'Attention over the frame'), done)

    def timeline(self, shown: Optional[Shown], window: Optional[float],
                 stride: Optional[float]) -> Tuple:
        """Score sliding windows: the chart, what is shown. Window and stride
        are seconds; None or 0 stand for what suits the video."""
        if shown is None:
            return note(FIRST), None
        done = replace(shown, done=shown.done | {TIMELINE})
        automatic = auto_window(shown.request.seconds)
        window = window or automatic[0]
        try:
            result = self.recogniser.timeline(
                shown.request, window, stride or min(automatic[1], window / 2))
        except _EXPECTED as error:
            return _alert(error, shown.request.path), done
        return markup.chart(result), done

    def search(self, query: str, topk: float) -> str:
        """Search the index."""
        try:
            return markup.hits(self.recogniser.search(query, int(topk)))
        except _EXPECTED as error:
            return _alert(error)


def build_page(handlers: Handlers, about: str, labels: Sequence[str],
               examples: Mapping[str, str] = {}) -> Any:
    """Put the page together, Gradio's Blocks: ``about`` is Markdown that says
    which model this is, ``labels`` stand in the text box at first, and
    ``examples`` are videos by their names."""
    import gradio as gr

    # Uploads older than half an hour go while the page is served.
    with gr.Blocks(title='ViFi-CLIP', analytics_enabled=False,
                   delete_cache=(60, 1800)) as page:
        gr.Markdown(f'# ViFi-CLIP\n{about}', elem_classes='vifi-head')
        if handlers.recogniser.index is None:
            _recognise_part(gr, handlers, labels, examples)
        else:
            with gr.Tab('Recognise a video'):
                _recognise_part(gr, handlers, labels, examples)
            with gr.Tab('Search videos'):
                _search_part(gr, handlers)
    page.queue(max_size=32)
    return page


def _recognise_part(gr: Any, handlers: Handlers, labels: Sequence[str],
                    examples: Mapping[str, str]) -> None:
    limits = handlers.recogniser.limits
    shown, tab = gr.State(None), gr.State('frames')
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            video = gr.Video(
                label=f'Video (up to {limits.upload_mb:g} MB and '
                f'{limits.video_seconds:g} s)', elem_id='vifi-video',
                sources=['upload', 'webcam'],
                webcam_options=gr.WebcamOptions(mirror=False,
                                                constraints=_CAMERA))
            words = gr.Textbox(
                label='Labels', value='\n'.join(labels), lines=4,
                max_lines=10, elem_id='vifi-labels',
                info='What it could be, with commas or line breaks between',
                placeholder='arm wrestling, playing cards, cooking')
            with gr.Accordion('Options', open=False):
                template = gr.Textbox(
                    label='Sentence', elem_id='vifi-template',
                    info='With {} where the label goes; empty for the '
                    "model's own", placeholder='a video of {}')
                threshold = gr.Slider(
                    0, 0.95, 0, step=0.05, elem_id='vifi-threshold',
                    label='None of these below', info='The best label must '
                    'have this probability; 0 is off')
                views = gr.Slider(
                    1, MOST_VIEWS, 1, step=1, elem_id='vifi-views',
                    label='Views', info='Samplings of the video, averaged: '
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
            answer = gr.HTML(note('The answer comes here.'),
                             elem_id='vifi-answer', container=True,
                             padding=True)
            with gr.Tabs():
                with gr.Tab('Frames') as frames_tab:
                    frames = gr.HTML(elem_id='vifi-frames')
                maps, attention = _attention_tab(gr, handlers, shown, tab)
                chart, timeline = _timeline_tab(gr, handlers, shown, tab)
    frames_tab.select(lambda: 'frames', None, tab, queue=False, **_AT_ONCE)
    # Not video.change: an example's would race with its own answer.
    gr.on([video.upload, video.clear, video.stop_recording],
          handlers.video_changed, video, [answer, frames, maps, chart, shown],
          show_progress='hidden', **_MODEL)
    for trigger in triggers:
        event = trigger(
            handlers.recognise, [video, words, template, threshold, views],
            [answer, frames, shown], show_progress_on=answer, **_MODEL)
        event = event.then(None, js=_SHOW_ANSWER)
        for fill in attention, timeline:
            event = fill(event.then)


def _attention_tab(gr: Any, handlers: Handlers, shown: Any,
                   tab: Any) -> Tuple[Any, Callable]:
    """Return the tab's picture, and what fills it after an event if it is in
    view."""
    with gr.Tab('Attention') as here:
        with gr.Row():
            method = gr.Dropdown(_METHODS, value='rollout', label='Method',
                                 elem_id='vifi-method', min_width=200)
            text = gr.Dropdown([], label='Label', visible=False,
                               min_width=200)
        picture = gr.HTML(note(FIRST), elem_id='vifi-attention')

    def offer(shown, method, text):
        labels = shown.labels if shown else []
        return gr.Dropdown(labels, visible=method == 'gradient',
                           value=text if text in labels else
                           labels[0] if labels else None)

    inputs, outputs = [shown, method, text], [picture, shown]
    fill = _fill_in_view(gr, handlers.attention, ATTENTION, here, tab, inputs,
                         outputs)
    method.input(offer, inputs, text, api_visibility='private').then(
        handlers.attention, inputs, outputs, **_MODEL)
    text.input(handlers.attention, inputs, outputs, **_MODEL)
    return picture, lambda then: fill(
        then(offer, inputs, text, **_AT_ONCE).then)


def _timeline_tab(gr: Any, handlers: Handlers, shown: Any,
                  tab: Any) -> Tuple[Any, Callable]:
    """As :func:`_attention_tab`."""
    with gr.Tab('Over time') as here:
        with gr.Row():
            window, stride = (
                gr.Number(0, label=f'{name} (s)', minimum=0, min_width=130,
                          info='0: automatic',
                          elem_id=f'vifi-{name.lower()}')
                for name in ('Window', 'Stride'))
        again = gr.Button('Score again', size='sm', elem_id='vifi-again')
        chart = gr.HTML(note(FIRST), elem_id='vifi-timeline')
    inputs, outputs = [shown, window, stride], [chart, shown]
    again.click(handlers.timeline, inputs, outputs, **_MODEL)
    return chart, _fill_in_view(gr, handlers.timeline, TIMELINE, here, tab,
                                inputs, outputs)


def _fill_in_view(gr: Any, handler: Callable, name: str, here: Any, tab: Any,
                  inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable:
    """Let a handler fill a tab when it comes into view, unless it is filled.
    Returned is what takes an event's ``then``, and fills the tab after it if
    it is in view."""

    def fill(tab, shown, first, second):
        if tab != name or (shown and name in shown.done):
            return gr.skip(), gr.skip()
        return handler(shown, first, second)

    def select(shown, first, second):
        return (name, *fill(name, shown, first, second))

    here.select(select, inputs, [tab, *outputs], **_MODEL)
    return lambda then: then(fill, [tab, *inputs], outputs, **_MODEL)


def _search_part(gr: Any, handlers: Handlers) -> None:
    count = len(handlers.recogniser.index)
    with gr.Row(equal_height=True):
        query = gr.Textbox(label='What to look for', scale=6, min_width=240,
                           elem_id='vifi-query', max_lines=1,
                           info=f'In words, among {count} embeddings',
                           placeholder='a dog catching a frisbee')
        topk = gr.Slider(1, 24, 6, step=1, label='Results', scale=2,
                         min_width=160)
    start = gr.Button('Search', variant='primary', elem_id='vifi-find')
    hits = gr.HTML(elem_id='vifi-hits')
    for trigger in start.click, query.submit:
        trigger(handlers.search, [query, topk], hits, **_MODEL)


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
