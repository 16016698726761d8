"""``vifi-clip attention``: where the class token looks, as pictures."""
import argparse
import os.path as osp
from typing import List, Optional, Sequence

from ..cli.options import (HelpFormatter, ModelOptions, add_model_arguments,
                           number, several_model_options)
from .options import METHODS, AttentionOptions

_EXAMPLES = """examples:
  vifi-clip attention clip.mp4 --labels "arm wrestling, playing cards" \\
      --out grid.png
  vifi-clip attention clip.mp4 --text "playing cards" --method gradient \\
      --labels classes.txt --out grid.png --video overlay.mp4
  vifi-clip attention clip.mp4 --checkpoint none vifi.pth \\
      --names CLIP ViFi-CLIP --config vifi_k400 --out side_by_side.png

Methods: rollout follows attention through all layers; last is the last layer
alone; gradient shows what speaks for a text."""


def parse_args(argv: Optional[Sequence[str]] = None) -> AttentionOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Show where a model looks: attention of the class token '
        'over the frames of a video',
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument('clip', metavar='VIDEO', help='a video file or a web '
                        'address')
    parser.add_argument('--out', '-o', help='grid of frames and maps, .png')
    parser.add_argument('--video', help='clip beside its overlays, .mp4')
    parser.add_argument('--npz', help='the maps as numbers, .npz')
    parser.add_argument('--labels', help='class names with commas between, or '
                        "a file of them (default: the config's classes)")
    parser.add_argument('--text', help='what gradient maps speak for, any '
                        'text (default: the label that each model puts first)')
    parser.add_argument('--method', nargs='+', choices=METHODS,
                        metavar='METHOD',
                        default=list(METHODS), help='some of rollout, last '
                        'and gradient (default: all three)')
    parser.add_argument('--names', nargs='+', help='of the models, in their '
                        'order (default: those of their files)')
    parser.add_argument('--frames', type=number(int, 1, 32), default=8,
                        help='columns of the grid, evenly out of the frames '
                        'that the model sees (default: 8)')
    parser.add_argument('--video-frames', type=number(int, 1, 1000),
                        default=64, help='frames of the video, evenly out of '
                        'the clip (default: 64)')
    parser.add_argument('--per-frame', action='store_true', help='a scale of '
                        'its own for each frame (default: one for the video)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files that exist')
    add_model_arguments(parser, several=True)
    args = parser.parse_args(argv)
    if not (args.out or args.video or args.npz):
        parser.error('nothing to write: give --out grid.png, --video '
                     'overlay.mp4 or --npz maps.npz')
    if args.text is not None and not args.text.strip():
        parser.error('--text is empty')
    if args.text and 'gradient' not in args.method:
        parser.error(f'--text {args.text!r} is for --method gradient; the '
                     'other methods depend on the frame alone')
    models = several_model_options(args, parser)
    if models[0].inference:
        parser.error('attention maps are made of the model as it was '
                     'trained: leave out --precision, --compile and '
                     '--text-bf16')
    return AttentionOptions(
        args.clip, models, _names(models, args.names, parser), args.labels,
        list(dict.fromkeys(args.method)), args.text, args.per_frame,
        args.out, args.frames, args.video, args.video_frames, args.npz,
        args.overwrite)


def run(options: AttentionOptions) -> None:
    """Write the pictures, and print what the models take the video for."""
    from .figures import write_figures
    write_figures(options)


def _names(models: Sequence[ModelOptions], names: Optional[Sequence[str]],
           parser: argparse.ArgumentParser) -> List[str]:
    """Return a name for each model: the user's, or the stem of its file."""
    if names is None:
        files = [model.config if model.checkpoint in (None, 'none')
                 else model.checkpoint for model in models]
        names = [osp.splitext(osp.basename(file))[0] for file in files]
    if len(names) != len(models):
        parser.error(f'--names: {len(names)} names for {len(models)} models')
    for i, name in enumerate(names):
        if name in names[:i]:
            parser.error(f'two models are called {name!r}: tell them apart '
                         'by --names')
    return list(names)
