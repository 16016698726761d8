"""``vifi-clip predict``: labels of videos of any kind."""
from dataclasses import replace
from typing import Optional, Sequence

from ..cli.parsing import reader
from .options import Options

_EXAMPLES = """examples:
  vifi-clip predict my.mp4 --config small_world
  vifi-clip predict videos/ --labels "arm wrestling, playing cards"
  vifi-clip predict "clips/*.mp4" --checkpoint vifi.pth --labels labels.txt
      --num-views 4x3 --out results.csv
  vifi-clip predict long.mp4 --labels "a, b" --timeline long.png --window 3
  vifi-clip predict --stream rtsp://camera/1 --labels "a person, nobody"
  torchrun --nproc_per_node 2 -m projects.vifi_clip_tools predict videos/
      --labels labels.txt --out results.jsonl

The same command resumes an unfinished --out file, and tries again to read the
videos that failed. Exit code 1: some videos could not be read; 2: none could,
or the command line is wrong."""


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line, and fill in the window and its stride."""
    options = reader(Options, 'Recognise videos, with any labels.',
                     _EXAMPLES)(argv)
    if (options.window or options.stride) and not (
            options.timeline or options.stream):
        raise ValueError('--window and --stride go with --timeline or '
                         '--stream')
    window = options.window or 2.
    return replace(options, window=window, stride=options.stride or window / 2)


def run(options: Options) -> int:
    """Print, or write, the labels of each video; 1 if some failed."""
    if options.stream:
        from .stream import predict_stream
        predict_stream(options)
        return 0
    from .job import predict
    return predict(options)
