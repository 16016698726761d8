"""``vifi-clip demo``: a web page to try a model."""
import argparse
import os.path as osp
from typing import Any, Optional, Sequence

from ..search.index_command import use_model_of
from projects.vifi_clip.apis.inputs import read_labels
from ..cli.options import CONFIG, add_model_arguments, inferencer_from_args

SMALL_WORLD = 'small_world'
_EXAMPLES = """examples:
  vifi-clip demo                            # the small world; no download
  vifi-clip demo --config vifi_zero_shot    # OpenAI's CLIP, any video
  vifi-clip demo --config vifi_k400 --checkpoint vifi.pth --open
  vifi-clip demo --index my_index           # search these videos, too

The page is for this machine alone unless --host says otherwise, as
--host 0.0.0.0 does; VIFI_DEMO_AUTH=USER:PASSWORD asks visitors for these."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the page."""
    parser = argparse.ArgumentParser(
        description='A web page: drop a video or use the camera, type labels, '
        'and see which fits,\nframe by frame and over time, and where the '
        'model looks.', epilog=_EXAMPLES, conflict_handler='resolve',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--labels', help='what stands in the text box at '
                        'first: names with commas between, or a file of them')
    parser.add_argument('--index', metavar='FOLDER', help='made by vifi-clip '
                        'index: the page searches it (needs '
                        'vifi_clip[search])')
    parser.add_argument('--host', default='127.0.0.1', help='address to '
                        'listen at (default: 127.0.0.1, this machine alone)')
    parser.add_argument('--port', type=int, default=7860,
                        help='0 takes a free one (default: 7860)')
    parser.add_argument('--open', action='store_true',
                        help='open the page in a browser')
    limits = parser.add_argument_group('limits')
    limits.add_argument('--max-upload-mb', type=float, default=200,
                        metavar='MB', help='size of a video (default: 200)')
    limits.add_argument('--max-seconds', type=float, default=600, metavar='S',
                        help='length of a video (default: 600)')
    limits.add_argument('--timeout', type=float, default=60, metavar='S',
                        help='time that one request may take (default: 60)')
    add_model_arguments(parser)
    parser.add_argument('--config', help='a config file, or the name of one '
                        "that comes along (default: small_world; the index's "
                        f'with --index; {CONFIG} with --checkpoint)')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        FileNotFoundError: A config, checkpoint or index is absent.
        ValueError: A bad option.
        UserError: Gradio is not installed, the port is in use, or the model
            is not that of the index or takes no labels.
    """
    args = parse_args(argv)
    from . import server
    from .limits import Limits
    limits = Limits(args.max_upload_mb, args.timeout, args.max_seconds)
    labels = None if args.labels is None else read_labels(args.labels)
    auth = server.read_auth()
    port = server.check_address(args.host, args.port)
    with server.workplace() as folder:
        from projects.vifi_clip.errors import need
        need('gradio', 'demo')
        index = _index(args)
        page, theme, recogniser = _build(args, limits, labels, index, folder)
        try:
            with server.served(page, theme, args.host, port,
                               limits.upload_mb, auth) as address:
                server.warn_if_open(args.host, auth)
                print(f'The page is at {address} (Ctrl-C ends it)',
                      flush=True)
                if args.open:
                    _open(address)
                server.wait()
        finally:
            recogniser.close()


def _index(args: argparse.Namespace) -> Any:
    """The index, and --config from it or by default."""
    index = None
    if args.index:
        from ..search.store import VideoIndex
        index = VideoIndex(args.index)
        if not len(index):
            raise ValueError(f'the index {args.index} is empty; add videos '
                             'with: vifi-clip index FOLDER --index '
                             f'{args.index}')
        use_model_of(index.identity, args)
    elif args.config is None:
        args.config = CONFIG if args.checkpoint else SMALL_WORLD
    return index


def _build(args: argparse.Namespace, limits: Any, labels: Any, index: Any,
           folder: str) -> tuple:
    """The page, its theme, and what computes."""
    from .examples import LABELS, write_examples
    from .handlers import Handlers
    from .page import build_page, theme, visible_labels
    from .service import Recogniser
    print(f'Loading {args.config} ...', flush=True)
    inferencer = inferencer_from_args(args, labels=labels)
    if index is not None:
        from projects.vifi_clip.apis.identity import identity_of
        index.check(identity_of(inferencer, args.config,
                                num_views=index.identity.num_views))
    recogniser = Recogniser(inferencer, limits, index)
    about, examples = _about(args, inferencer), ()
    if is_small_world(inferencer):
        examples = write_examples(folder)
        labels = labels or LABELS
    page = build_page(Handlers(recogniser), 'ViFi-CLIP', about,
                      visible_labels(inferencer.class_names, labels),
                      examples)
    return page, theme(), recogniser


def is_small_world(inferencer: Any) -> bool:
    """Whether a model has the weights that come with the package."""
    weights = inferencer.checkpoint or inferencer.cfg.get('load_from')
    return weights == f'vifi-clip://{SMALL_WORLD}'


def _about(args: argparse.Namespace, inferencer: Any) -> str:
    if is_small_world(inferencer):
        return ('This small model knows **coloured shapes** and how they '
                'move, and nothing of real videos. For those, start the page '
                f'with CLIP: `vifi-clip demo --config {CONFIG}`')
    name = osp.splitext(osp.basename(args.config))[0]
    weights = osp.basename(inferencer.checkpoint or '')
    return (f'Model `{name}`' + (f' with `{weights}`' if weights else '')
            + f', {inferencer.num_frames} frames of a video.')


def _open(address: str) -> None:
    import webbrowser
    if not webbrowser.open(address):
        print('There is no browser to open here; use the address above.',
              flush=True)
