"""Serving the page on one port, until it is stopped, without leftovers."""
import ipaddress
import os
import os.path as osp
import socket
import sys
import tempfile
import threading
import webbrowser
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.errors import UserError, need
from projects.vifi_clip.files import temporary_folder
from ..cli.options import CONFIG, ModelOptions
from ..cli.processes import ended_by_signals
from ..mini_world.clips import Job, render_clip, write_video
from ..mini_world.world import VideoClass
from ..search.store import VideoIndex
from .options import DemoOptions
from .page import Handlers, build_page, theme
from .service import Recogniser
from .streams import Streams

AUTH = 'VIFI_DEMO_AUTH'
SMALL_WORLD = 'small_world'
_MOST_LABELS = 30  # that the text box starts with: no wall of text
_SMALL = ('This small model knows **coloured shapes** and how they move, but '
          'nothing else. For real videos, start the page with CLIP: '
          f'`vifi-clip demo --config {CONFIG}`')
# Clips of the small world to try the page with.
_SCENES = {
    'Blue star': ('blue star blinking', ),
    'Purple moon': ('purple moon sliding', ),
    'Three scenes': ('red ring spinning', 'green heart blinking',
                     'orange cross pulsing'),
}
LABELS = ('a red ring spinning', 'a blue star blinking',
          'a green heart blinking', 'a yellow arrow orbiting',
          'a purple moon sliding', 'a purple moon blinking',
          'an orange cross pulsing')


def serve(options: DemoOptions) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    labels = None if options.labels is None else read_labels(options.labels)
    streams, auth = Streams(options.streams or ()), read_auth()
    port = check_address(options.host, options.port)
    with workplace() as folder:
        need('gradio', 'demo')
        index, model = _find_model(options)
        print(f'Loading {model.config} ...', flush=True)
        inferencer = model.load(labels=labels)
        if index is not None:
            index.check(inferencer, model)
        recogniser = Recogniser(inferencer, options.limits, index, streams)
        page = _build(model, recogniser, labels, folder)
        try:
            with served(page, options.host, port, options.limits.upload_mb,
                        auth) as address:
                warn_if_open(options.host, auth)
                print(f'The page is at {address} (Ctrl-C stops it)',
                      flush=True)
                if options.open and not webbrowser.open(address):
                    print('No browser could be opened; use the address '
                          'above.', flush=True)
                # A signal that comes just before a wait without end is not
                # heard.
                while not threading.Event().wait(1):
                    pass
        finally:
            recogniser.close()


def _find_model(options: DemoOptions) -> Tuple[Any, ModelOptions]:
    """Return the index, if there is one, and the model to load."""
    model = options.model
    if not options.index:
        config = CONFIG if model.checkpoint else SMALL_WORLD
        return None, replace(model, config=model.config or config)
    index = VideoIndex(options.index)
    index.check_filled()
    return index, index.model_options(model)


def _build(model: ModelOptions, recogniser: Recogniser,
           labels: Optional[List[str]], folder: str) -> Any:
    """Build the page, with what suits the model."""
    inferencer, examples = recogniser.inferencer, {}
    names: Sequence[str] = inferencer.class_names
    weights = inferencer.checkpoint or inferencer.cfg.get('load_from')
    if weights == f'vifi-clip://{SMALL_WORLD}':  # those of the package
        examples, names, about = write_examples(folder), LABELS, _SMALL
    else:
        about = 'Model `' + osp.splitext(osp.basename(model.config))[0]
        if inferencer.checkpoint:
            about += f'` with `{osp.basename(inferencer.checkpoint)}'
        about += f'`, {inferencer.num_frames} frames per video.'
    if labels is None:
        labels = names if len(names) <= _MOST_LABELS else []
    return build_page(Handlers(recogniser), about, labels, examples)


def write_examples(folder: str) -> Dict[str, str]:
    """Render the clips into a folder: name of each example to its file."""
    paths = {}
    for name, scenes in _SCENES.items():
        paths[name] = osp.join(folder,
                               f'{name}.mp4'.replace(' ', '_').lower())
        # 64 pixels, which the small world's model was trained on; one rate
        # for all, since motions have no natural speed.
        clips = [render_clip(Job(f'demo/{scene}/0', 0, 64,
                                 VideoClass(*scene.split())))[0]
                 for scene in scenes]
        write_video(paths[name], np.concatenate(clips), 12)
    return paths


def check_address(host: str, port: int) -> int:
    """Return a port that is free, before any long work; 0 takes any."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, proto) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            return trial.getsockname()[1]
    except (socket.gaierror, UnicodeError) as error:
        raise ValueError(f'--host {host} is not an address of this machine: '
                         f'{error}') from error
    except OSError as error:  # in use, or needs the rights of root
        raise UserError(f'{host}:{port} cannot be used: {error.strerror}; '
                        'choose another --port or --host') from error


def read_auth() -> Optional[Tuple[str, str]]:
    """Read user and password, which ps shows not, from the environment."""
    text = os.environ.get(AUTH, '')
    user, _, password = text.partition(':')
    if text and not (user and password):
        raise ValueError(f'{AUTH} must be USER:PASSWORD')
    return (user, password) if text else None


@contextmanager
def workplace() -> Iterator[str]:
    """Make a temporary folder for everything, gone at the end, whatever ends
    it, and the settings of Gradio, which reads them when it is imported."""
    # Gradio serves nothing of a folder whose name begins with a dot.
    with ended_by_signals(), temporary_folder(
            tempfile.gettempdir(), 'vifi_clip_') as path:
        folder = str(path)
        os.environ.update(
            GRADIO_TEMP_DIR=osp.join(folder, 'uploads'),
            GRADIO_ANALYTICS_ENABLED='False', HF_HUB_DISABLE_TELEMETRY='1')
        # Gradio asks itself whether it can be reached.
        for name in 'no_proxy', 'NO_PROXY':
            os.environ[name] = ','.join(filter(None, (
                os.environ.get(name), 'localhost,127.0.0.1,::1')))
        os.makedirs(os.environ['GRADIO_TEMP_DIR'])
        yield folder


@contextmanager
def served(page: Any, host: str, port: int, upload_mb: float,
           auth: Optional[Tuple[str, str]] = None) -> Iterator[str]:
    """Serve a page at a port of :func:`check_address`; yield its address."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from .requests import WrongRequests, check_inputs
    check_inputs(page)
    layers = [Middleware(WrongRequests)]
    if _is_alone(host) and not auth:
        # Any website can have a name that leads to this machine.
        layers.append(Middleware(TrustedHostMiddleware, allowed_hosts=[
            host, 'localhost', '127.0.0.1']))
    page.launch(
        server_name=host, server_port=port, auth=auth, quiet=True,
        prevent_thread_lock=True, share=False, inline=False, ssr_mode=False,
        pwa=False, mcp_server=False, enable_monitoring=False,
        run_history=False, max_file_size=int(upload_mb * 1e6),
        state_session_capacity=200, footer_links=[], theme=theme(),
        css_paths=Path(__file__).with_name('page.css'),
        # Names of uploads may begin with a dot, wherever this was started.
        allowed_paths=[os.environ['GRADIO_TEMP_DIR']],
        app_kwargs=dict(middleware=layers))
    try:
        name = 'localhost' if host in ('0.0.0.0', '::') else host
        yield f'http://{f"[{name}]" if ":" in name else name}:{port}'
    finally:
        page.close(verbose=False)


def warn_if_open(host: str, auth: Any) -> None:
    """Say that others can reach the page, if so."""
    if _is_alone(host):
        return
    secret = ('has no encryption' if auth else
              f'has no password;\n{AUTH}=USER:PASSWORD sets one')
    print(f'warning: other machines can open {host}, which {secret}. Browsers'
          '\nallow a camera on http://localhost and https:// only.',
          file=sys.stderr)


def _is_alone(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return host == 'localhost'
