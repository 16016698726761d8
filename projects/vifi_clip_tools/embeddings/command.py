"""``vifi-clip embed``: video embeddings of a list, as a file."""
import argparse
import os
import sys
from typing import Optional, Sequence

from ..cli.options import HelpFormatter
from ..cli.options import inference_settings
from ..cli.options import add_model_arguments, inferencer_from_args
from ..cli.outputs import check_target

SUFFIXES = ('.npz', '.parquet')
_EXAMPLES = """examples:
  vifi-clip embed val.txt --root videos --classes classes.txt --out val.npz
  vifi-clip embed clips/ more/*.mp4 --config vifi_k400 \\
      --checkpoint vifi.pth --num-views 4 --out clips.parquet
  torchrun --nproc_per_node 4 tools/embed.py val.txt --root videos \\
      --out val.npz

Stop it whenever you like: the same command goes on where it was. Exit code:
0 if all videos are embedded, 1 if some could not be read (they are named in
the file; --allow-bad makes that 0), 2 if there is no file."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of embedding."""
    parser = argparse.ArgumentParser(
        description='Embed videos: one vector of length 1 for each',
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument(
        'videos', nargs='+', help='a list (.txt) of "name label" lines, or '
        'folders, patterns and files')
    parser.add_argument('--out', '-o', required=True,
                        help='.npz or .parquet file')
    add_list_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        '--overwrite', action='store_true', help='replace a file, or stopped '
        'work, of another model, setting or list')
    parser.add_argument(
        '--allow-bad', action='store_true', help='exit code 0 even if some '
        'videos could not be read')
    return parser.parse_args(argv)


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of what is embedded and how."""
    parser.add_argument('--root', help='folder that the names of a list '
                        'start from (default: the working directory)')
    parser.add_argument('--classes', help='names of the classes that a '
                        "list's labels count: a file, or \"a, b, c\"")
    parser.add_argument('--num-views', default='1', help="temporal views, "
                        "with crops as 4x3, or 'config' (default: 1)")
    parser.add_argument('--batch-size', type=int, default=1,
                        help='videos at once (default: 1)')


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Write the file.

    Raises:
        FileNotFoundError: A list, folder, config or checkpoint is absent.
        ValueError: A bad option or line, an unwritable output, or stopped
            work of another model or setting.
        SystemExit: 1, if a video could not be read.
    """
    args = parse_args(argv)
    check_target('--out', args.out, SUFFIXES)
    from .embed_list import read_videos
    from .file import read_embeddings
    from projects.vifi_clip.errors import need
    from projects.vifi_clip.apis.pipeline import parse_views
    if args.out.lower().endswith('.parquet'):
        need('pyarrow', 'search')
    if os.path.exists(args.out) and not args.overwrite:
        read_embeddings(args.out)  # before the model: is it one of ours?
    if args.batch_size < 1:
        raise ValueError(f'--batch-size {args.batch_size}: at least 1')
    views = parse_views(args.num_views)
    videos = read_videos(args.videos, args.root, args.classes)

    from .job import embed_videos
    choose_device()
    inferencer = inferencer_from_args(args)
    try:
        found = embed_videos(
            inferencer, videos, args.out, views, args.batch_size,
            args.overwrite, record_of(args, args.config, args.checkpoint))
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here',
              file=sys.stderr)
        raise SystemExit(130) from None
    if found is None:  # under torchrun, the first process reports
        return
    print(f'{args.out}: {len(found)} videos, '
          f'D = {found.embeddings.shape[1]}'
          + (f', {len(found.failed)} could not be read' if found.failed
             else ''))
    if found.failed and not args.allow_bad:
        raise SystemExit(1)


def record_of(args: argparse.Namespace, config: str,
              checkpoint: Optional[str]) -> dict:
    """What the command line says of the model, for the file's record."""
    return dict(config=config, checkpoint=checkpoint,
                inference=inference_settings(args))


def choose_device() -> None:
    """Under torchrun, a GPU of its own for each process."""
    import torch
    if int(os.environ.get('WORLD_SIZE', 1)) > 1 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0))
                              % torch.cuda.device_count())
