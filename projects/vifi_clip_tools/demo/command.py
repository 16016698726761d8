"""``vifi-clip demo``: a web page to try a model."""

from ..cli.parsing import reader
from .options import DemoOptions

_EXAMPLES = """examples:
  vifi-clip demo                            # the small world; no download
  vifi-clip demo --config vifi_zero_shot    # OpenAI's CLIP, any video
  vifi-clip demo --config vifi_k400 --checkpoint vifi.pth --open
  vifi-clip demo --index my_index           # search these videos, too
  vifi-clip demo --stream rtsp://camera/1   # watch this camera, too

Other machines can open the page only with --host, such as --host 0.0.0.0;
VIFI_DEMO_AUTH=USER:PASSWORD makes the page ask for these."""


parse_args = reader(
    DemoOptions, 'Open a web page: drop a video or use the camera, type '
    'labels, and see which\nfits, frame by frame and over time, and where '
    'the model looks.', _EXAMPLES)


def run(options: DemoOptions) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    from .server import serve
    serve(options)
