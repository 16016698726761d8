"""``vifi-clip demo``: a web page to try a model."""
import argparse
from typing import Optional, Sequence

from ..cli.options import (CONFIG, HelpFormatter, add_model_arguments,
                           model_options, number)
from .options import DemoOptions, Limits

_EXAMPLES = """examples:
  vifi-clip demo                            # the small world; no download
  vifi-clip demo --config vifi_zero_shot    # OpenAI's CLIP, any video
  vifi-clip demo --config vifi_k400 --checkpoint vifi.pth --open
  vifi-clip demo --index my_index           # search these videos, too

The page is for this machine alone unless --host says otherwise, as
--host 0.0.0.0 does; VIFI_DEMO_AUTH=USER:PASSWORD asks visitors for these."""


def parse_args(argv: Optional[Sequence[str]] = None) -> DemoOptions:
    """Read the command line of the page."""
    parser = argparse.ArgumentParser(
        description='A web page: drop a video or use the camera, type labels, '
        'and see which fits,\nframe by frame and over time, and where the '
        'model looks.', epilog=_EXAMPLES, formatter_class=HelpFormatter)
    parser.add_argument('--labels', help='what stands in the text box at '
                        'first: names with commas between, or a file of them')
    parser.add_argument('--index', metavar='FOLDER', help='made by vifi-clip '
                        'index: the page searches it (needs '
                        'vifi_clip[search])')
    parser.add_argument('--host', default='127.0.0.1', help='address to '
                        'listen at (default: 127.0.0.1, this machine alone)')
    parser.add_argument('--port', type=number(int, 0, 65535), default=7860,
                        help='0 takes a free one (default: 7860)')
    parser.add_argument('--open', action='store_true',
                        help='open the page in a browser')
    limits = parser.add_argument_group('limits')
    positive = number(float, 0, open_low=True)
    limits.add_argument('--max-upload-mb', type=positive, metavar='MB',
                        default=200, help='size of a video (default: 200)')
    limits.add_argument('--max-seconds', type=positive, metavar='S',
                        default=600, help='length of a video (default: 600)')
    limits.add_argument('--timeout', type=positive, metavar='S', default=60,
                        help='time that one request may take (default: 60)')
    add_model_arguments(parser, default="small_world; the index's with "
                        f'--index; {CONFIG} with --checkpoint')
    args = parser.parse_args(argv)
    return DemoOptions(
        model_options(args), args.labels, args.index, args.host, args.port,
        args.open, Limits(args.max_upload_mb, args.timeout, args.max_seconds))


def run(options: DemoOptions) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    from .server import serve
    serve(options)
