"""``vifi-clip cache-frames``: embed every frame once, for frozen towers."""

from ..cli.parsing import reader
from .options import FramesOptions


parse_args = reader(
    FramesOptions, 'Embed the frames of the training and validation videos '
    'once, with the validation pipeline. configs/vifi_cached.py then trains '
    'the text tower on the embeddings, without videos, image tower or '
    'augmentation.',
    'examples:\n'
    '  vifi-clip cache-frames vifi_k400 none --out data/frame_cache\n'
    '  TUNE=text CACHE=data/frame_cache vifi-clip train vifi_cached')


def run(options: FramesOptions) -> None:
    """Fill the cache, and say how to train on it."""
    from .frames import cache_frames
    cache_frames(options)
