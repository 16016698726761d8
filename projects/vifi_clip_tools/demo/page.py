"""The page: what stands where, and which function it calls."""
from typing import Any, Callable, List, Optional, Sequence, Tuple

from projects.vifi_clip.errors import need
from .examples import Example
from .handlers import ATTENTION, FIRST, TIMELINE, Handlers
from .markup import note
from .service import MOST_VIEWS
from .style import SHOW_ANSWER

# One request at a time, the others wait in Gradio's queue.
_MODEL = dict(concurrency_id='model', concurrency_limit=1,
              api_visibility='private')
# More pixels would be thrown away, after they were sent.
_CAMERA = dict(video=dict(width=dict(ideal=640), height=dict(ideal=480)))
_METHODS = [('Rollout: through all layers', 'rollout'),
            ('Last layer', 'last'),
            ('What speaks for a label', 'gradient')]


def build_page(handlers: Handlers,
               title: str,
               about: str,
               labels: Sequence[str] = (),
               examples: Sequence[Example] = ()) -> Any:
    """Put the page together.

    Args:
        handlers (Handlers): Functions behind it.
        title (str): Of the browser's tab and the page.
        about (str): Which model this is, Markdown.
        labels (Sequence[str]): What stands in the text box at first.
        examples (Sequence[Example]): Videos to choose from.

    Returns:
        gradio.Blocks: To be launched.
    """
    gr = need('gradio', 'demo')
    # Uploads older than half an hour go while the page is served.
    with gr.Blocks(title=title, analytics_enabled=False,
                   delete_cache=(60, 1800)) as page:
        gr.Markdown(f'# {title}\n{about}', elem_classes='vifi-head')
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
                    examples: Sequence[Example]) -> None:
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
            options = _options(gr)
            start = gr.Button('Recognise', variant='primary',
                              elem_id='vifi-start')
            chosen = _examples(gr, examples, video)
        with gr.Column(scale=7, min_width=320):
            answer = gr.HTML(note('The answer comes here.'),
                             elem_id='vifi-answer', container=True,
                             padding=True)
            with gr.Tabs():
                with gr.Tab('Frames') as frames_tab:
                    frames = gr.HTML(elem_id='vifi-frames')
                maps, attention = _attention_tab(gr, handlers, shown, tab)
                chart, timeline = _timeline_tab(gr, handlers, shown, tab)
    frames_tab.select(lambda: 'frames', None, tab, queue=False,
                      api_visibility='private', show_progress='hidden')
    outputs = [answer, frames, shown]
    # Not video.change: an example's would race with its own answer.
    gr.on([video.upload, video.clear, video.stop_recording],
          handlers.video_changed, video, [answer, frames, maps, chart, shown],
          show_progress='hidden', **_MODEL)
    for trigger in start.click, *chosen:
        event = trigger(handlers.recognise, [video, words, *options], outputs,
                        show_progress_on=answer, **_MODEL)
        event = event.then(None, js=SHOW_ANSWER)
        for fill in attention, timeline:
            event = fill(event.then)


def _options(gr: Any) -> List[Any]:
    """Template, threshold, views."""
    with gr.Accordion('Options', open=False):
        return [
            gr.Textbox(label='Sentence', elem_id='vifi-template',
                       info='With {} where the label goes; empty for the '
                       "model's own", placeholder='a video of {}'),
            gr.Slider(0, 0.95, 0, step=0.05, elem_id='vifi-threshold',
                      label='None of these below',
                      info='The best label must have this probability; 0 is '
                      'off'),
            gr.Slider(1, MOST_VIEWS, 1, step=1, label='Views',
                      elem_id='vifi-views',
                      info='Samplings of the video, averaged: more is '
                      'slower')
        ]


def _examples(gr: Any, examples: Sequence[Example], video: Any) -> List[Any]:
    """Buttons; what each sets off when the video is there."""
    if not examples:
        return []
    gr.Markdown('Or try an example:')
    events = []
    with gr.Row():
        for example in examples:
            button = gr.Button(example.name, size='sm', min_width=90)
            event = button.click(
                lambda path=example.path: path, None, video,
                api_visibility='private', show_progress='hidden')
            events.append(event.then)
    return events


def _attention_tab(gr: Any, handlers: Handlers, shown: Any,
                   tab: Any) -> Tuple[Any, Callable]:
    """The tab's picture; what fills it after an event if it is in view."""
    with gr.Tab('Attention') as here:
        with gr.Row():
            method = gr.Dropdown(_METHODS, value='rollout', label='Method',
                                 elem_id='vifi-method', min_width=200)
            text = gr.Dropdown([], label='Label', visible=False,
                               min_width=200)
        picture = gr.HTML(note(FIRST), elem_id='vifi-attention')

    def attend(shown, method, text):
        return handlers.attention(shown, method, text)

    def fill(shown, tab, method, text):
        if tab != ATTENTION or (shown and ATTENTION in shown.done):
            return gr.skip(), gr.skip()
        return handlers.attention(shown, method, text)

    def select(shown, method, text):
        return (ATTENTION, *fill(shown, ATTENTION, method, text))

    def offer(shown, method, text):
        labels = shown.labels if shown else []
        return gr.Dropdown(labels, visible=method == 'gradient',
                           value=text if text in labels else
                           labels[0] if labels else None)

    inputs = [shown, method, text]
    here.select(select, inputs, [tab, picture, shown], **_MODEL)
    method.input(offer, inputs, text, api_visibility='private').then(
        attend, inputs, [picture, shown], **_MODEL)
    text.input(attend, inputs, [picture, shown], **_MODEL)
    return picture, lambda then: then(
        offer, inputs, text, api_visibility='private',
        show_progress='hidden').then(
            fill, [shown, tab, method, text], [picture, shown], **_MODEL)


def _timeline_tab(gr: Any, handlers: Handlers, shown: Any,
                  tab: Any) -> Tuple[Any, Callable]:
    """The tab's picture; what fills it after an event if it is in view."""
    with gr.Tab('Over time') as here:
        with gr.Row():
            window, stride = (
                gr.Number(0, label=f'{name} (s)', minimum=0, min_width=130,
                          info='0: automatic',
                          elem_id=f'vifi-{name.lower()}')
                for name in ('Window', 'Stride'))
        again = gr.Button('Score again', size='sm', elem_id='vifi-again')
        chart = gr.HTML(note(FIRST), elem_id='vifi-timeline')

    def score(shown, window, stride):
        return handlers.timeline(shown, window, stride)

    def fill(shown, tab, window, stride):
        if tab != TIMELINE or (shown and TIMELINE in shown.done):
            return gr.skip(), gr.skip()
        return score(shown, window, stride)

    def select(shown, window, stride):
        return (TIMELINE, *fill(shown, TIMELINE, window, stride))

    inputs, outputs = [shown, window, stride], [chart, shown]
    here.select(select, inputs, [tab, *outputs], **_MODEL)
    again.click(score, inputs, outputs, **_MODEL)
    return chart, lambda then: then(fill, [shown, tab, window, stride],
                                    outputs, **_MODEL)


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
    found = gr.HTML(elem_id='vifi-hits')
    for trigger in start.click, query.submit:
        trigger(handlers.search, [query, topk], found, **_MODEL)


def theme() -> Any:
    """Gradio's own, in fonts that the visitor's machine has."""
    gr = need('gradio', 'demo')
    subdued = dict.fromkeys(
        ('body_text_color_subdued', 'block_info_text_color'), '*neutral_500')
    dark = {f'{name}_dark': '*neutral_400' for name in subdued}
    return gr.themes.Default(
        primary_hue='blue', font=['system-ui', 'sans-serif'],
        font_mono=['ui-monospace', 'monospace']
    ).set(**subdued, **dark)  # as it is, too pale to read


def visible_labels(names: Sequence[str],
                   given: Optional[Sequence[str]] = None) -> List[str]:
    """What the text box starts with.

    Args:
        names (Sequence[str]): The model's classes.
        given (Sequence[str], optional): In place of them.
    """
    if given is not None:
        return list(given)
    return list(names) if len(names) <= 30 else []  # no wall of text
