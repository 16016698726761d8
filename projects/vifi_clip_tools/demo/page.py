"""The page: what stands where, and what happens when it is touched.

Gradio reads its settings when it is imported, so it is not before
:func:`.server.workplace` made them.
"""
import os.path as osp
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from . import markup
from .limits import check_video
from .markup import note
from .options import Limits
from .service import Recogniser, Request, auto_window

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
        """Rank the labels: the answer, the frames, and the request with its
        labels best first, which the tabs go by; the boxes may change."""
        try:
            request = self.recogniser.check(path, labels, template, threshold,
                                            num_views)
            result = self.recogniser.recognise(request)
        except _EXPECTED as error:
            return _alert(error, path), None, None
        best_first = tuple(label for label, _ in result.ranking)
        return (markup.verdict(request, result),
                markup.frames(result.frames, 'The frame'),
                replace(request, labels=best_first))

    def attention(self, request: Optional[Request], method: str,
                  text: Optional[str]) -> str:
        """Lay attention over the frames of an answered request."""
        if request is None:
            return note(FIRST)
        text = text if text in request.labels else request.labels[0]
        try:
            frames = self.recogniser.attention(request, method, text)
        except _EXPECTED as error:
            return _alert(error, request.path)
        remark = 'Blue to red: more; each frame has a scale of its own.'
        if method == 'gradient':
            remark = f'What speaks for "{text}". ' + remark
        return note(remark) + markup.frames(frames, 'Attention over the frame')

    def timeline(self, request: Optional[Request], window: Optional[float],
                 stride: Optional[float]) -> str:
        """Score sliding windows of an answered request. Window and stride
        are seconds; None or 0 stand for what suits the video."""
        if request is None:
            return note(FIRST)
        automatic = auto_window(request.seconds)
        window = window or automatic[0]
        try:
            return markup.chart(self.recogniser.timeline(
                request, window, stride or min(automatic[1], window / 2)))
        except _EXPECTED as error:
            return _alert(error, request.path)

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
    shown, tab = gr.State(None), gr.State('frames')
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            boxes = _request_boxes(gr, handlers.recogniser.limits, labels)
            start = gr.Button('Recognise', variant='primary',
                              elem_id='vifi-start')
            triggers = [start.click]
            if examples:
                gr.Markdown('Or try an example:')
            with gr.Row(visible=bool(examples)):
                for name, path in examples.items():
                    button = gr.Button(name, size='sm', min_width=90)
                    triggers.append(button.click(
                        lambda path=path: path, None, boxes[0],
                        **_AT_ONCE).then)
        with gr.Column(scale=7, min_width=320):
            answer = gr.HTML(note('The answer comes here.'),
                             elem_id='vifi-answer', container=True,
                             padding=True)
            with gr.Tabs():
                with gr.Tab('Frames', id='frames') as frames_tab:
                    frames = gr.HTML(elem_id='vifi-frames')
                attention_tab, method, text, maps = _attention_tab(gr)
                timeline_tab, again, window, stride, chart = _timeline_tab(gr)
    attention, timeline = [shown, method, text], [shown, window, stride]

    def fill(tab, shown, method, text, window, stride):
        """Work for the tab in view alone."""
        return (handlers.attention(shown, method, text)
                if tab == attention_tab.id else gr.skip(),
                handlers.timeline(shown, window, stride)
                if tab == timeline_tab.id else gr.skip())

    def offer(shown):
        return gr.Dropdown(shown.labels, value=shown.labels[0]
                           ) if shown else gr.skip()

    filling = dict(
        fn=fill, inputs=[tab, *attention, window, stride],
        outputs=[maps, chart], **_MODEL)
    for each in frames_tab, attention_tab, timeline_tab:
        each.select(lambda name=each.id: name, None, tab, queue=False,
                    **_AT_ONCE).then(**filling)
    gr.on([method.input, text.input], handlers.attention, attention, maps,
          **_MODEL)
    again.click(handlers.timeline, timeline, chart, **_MODEL)
    # Not video.change: an example's would race with its own answer.
    video = boxes[0]
    gr.on([video.upload, video.clear, video.stop_recording],
          handlers.video_changed, video, [answer, frames, maps, chart, shown],
          show_progress='hidden', **_MODEL)
    for trigger in triggers:
        trigger(handlers.recognise, boxes, [answer, frames, shown],
                show_progress_on=answer, **_MODEL).then(
            None, js=_SHOW_ANSWER).then(
            offer, shown, text, **_AT_ONCE).then(**filling)


def _request_boxes(gr: Any, limits: Limits, labels: Sequence[str]) -> list:
    """Return the boxes of the arguments of :meth:`Handlers.recognise`."""
    video = gr.Video(
        label=f'Video (up to {limits.upload_mb:g} MB and '
        f'{limits.video_seconds:g} s)', elem_id='vifi-video',
        sources=['upload', 'webcam'],
        webcam_options=gr.WebcamOptions(mirror=False, constraints=_CAMERA))
    words = gr.Textbox(
        label='Labels', value='\n'.join(labels), lines=4, max_lines=10,
        elem_id='vifi-labels',
        info='What it could be, with commas or line breaks between',
        placeholder='arm wrestling, playing cards, cooking')
    with gr.Accordion('Options', open=False):
        template = gr.Textbox(
            label='Sentence', elem_id='vifi-template', info='With {} where '
            "the label goes; empty for the model's own",
            placeholder='a video of {}')
        threshold = gr.Slider(
            0, 0.95, 0, step=0.05, elem_id='vifi-threshold',
            label='None of these below', info='The best label must have this '
            'probability; 0 is off')
        views = gr.Slider(
            1, 8, 1, step=1, elem_id='vifi-views', label='Views',
            info='Samplings of the video, averaged: more is slower')
    return [video, words, template, threshold, views]


def _attention_tab(gr: Any) -> Tuple:
    with gr.Tab('Attention', id='attention') as tab:
        with gr.Row():
            method = gr.Dropdown(_METHODS, value='rollout', label='Method',
                                 elem_id='vifi-method', min_width=200)
            text = gr.Dropdown([], label='Label', visible=False,
                               min_width=200)
        maps = gr.HTML(note(FIRST), elem_id='vifi-attention')
    method.input(lambda name: gr.Dropdown(visible=name == 'gradient'), method,
                 text, **_AT_ONCE)
    return tab, method, text, maps


def _timeline_tab(gr: Any) -> Tuple:
    with gr.Tab('Over time', id='timeline') as tab:
        with gr.Row():
            window, stride = (
                gr.Number(0, label=f'{name} (s)', minimum=0, min_width=130,
                          info='0: automatic',
                          elem_id=f'vifi-{name.lower()}')
                for name in ('Window', 'Stride'))
        again = gr.Button('Score again', size='sm', elem_id='vifi-again')
        chart = gr.HTML(note(FIRST), elem_id='vifi-timeline')
    return tab, again, window, stride, chart


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
