"""``vifi-clip export``: a model as files that run without this project."""
import argparse
import os.path as osp
from dataclasses import replace
from typing import Optional, Sequence, Tuple

from ..cli.options import (HelpFormatter, add_model_arguments, model_options,
                           number, positive_int)
from .options import PARTS, SUFFIXES, ExportOptions

_EXAMPLES = """examples:
  vifi-clip export --config small_world --out exported/
  vifi-clip export --config vifi_k400 --checkpoint vifi.pth --out exported/ \\
      --labels "arm wrestling, playing cards"
  vifi-clip export --config vifi_mini --checkpoint vifi_mini.pth --int8 \\
      --evaluate config --out exported/

Each file is run and compared with the model at every frame count and batch
size; a difference above 1e-4 is an error, exit code 1, and leaves no file."""


def parse_args(argv: Optional[Sequence[str]] = None) -> ExportOptions:
    """Read and check the command line of export."""
    parser = argparse.ArgumentParser(
        description='Export a model to ONNX or torch.export, and check it',
        epilog=_EXAMPLES, formatter_class=HelpFormatter)
    _add_arguments(parser)
    args = parser.parse_args(argv)
    model = model_options(args)
    for wrong, message in (
            (args.format != 'onnx' and (args.int8 or args.opset),
             '--int8 and --opset are for --format onnx'),
            (args.device not in ('auto', 'cpu'),
             f'--device {args.device}: export traces and checks on CPU, and '
             'the files run anywhere; leave it out'),
            (model.inference,
             'export starts from the trained float32 model: leave out '
             '--precision, --compile and --text-bf16; --int8 quantises'),
            (args.root and args.evaluate in (None, 'config'),
             '--root goes with --evaluate LIST'),
            (args.evaluate and 'classifier' not in args.parts,
             '--evaluate runs the classifier: add it to --parts'),
            (args.evaluate not in (None, 'config')
             and not osp.isfile(args.evaluate),
             f'--evaluate {args.evaluate}: no such list')):
        if wrong:
            parser.error(message)
    return ExportOptions(
        args.out, args.format, args.parts, args.input, args.opset, args.int8,
        tuple(args.check_frames), tuple(args.check_batches), args.labels,
        args.evaluate, args.root, args.overwrite, replace(model, device='cpu'))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--out', '-o', required=True, help='folder to write')
    parser.add_argument('--format', choices=tuple(SUFFIXES), default='onnx',
                        help='kind of files (default: onnx)')
    parser.add_argument(
        '--parts', type=_parts, default=tuple(PARTS), help='of video (clips '
        'to embeddings), text (tokens to embeddings) and classifier (clips to '
        'probabilities of the labels), with commas (default: all)')
    parser.add_argument(
        '--labels', help='classes of the classifier, with commas between, or '
        "a file of them (default: the config's classes)")
    parser.add_argument(
        '--input', choices=('uint8', 'float'), default='uint8',
        help='frames as they are, [B, T, H, W, 3], normalised inside the '
        'file; or normalised ones, [B, T, 3, H, W] (default: uint8)')
    parser.add_argument('--opset', type=number(int, 18), metavar='N',
                        help="of ONNX, from 18 (default: torch's choice)")
    parser.add_argument(
        '--int8', action='store_true', help='also write copies with int8 '
        'matrix products (dynamic quantisation by onnxruntime)')
    parser.add_argument(
        '--check-frames', nargs='+', type=positive_int,
        default=ExportOptions.frames, metavar='T',
        help='frame counts to check at (default: 1 4 8 16)')
    parser.add_argument(
        '--check-batches', nargs='+', type=positive_int,
        default=ExportOptions.batches, metavar='B',
        help='batch sizes to check at (default: 1 3)')
    parser.add_argument(
        '--evaluate', metavar='LIST', help='run the classifiers over the '
        "videos of a list of 'path label' lines, or 'config' for the "
        "config's test set, and print their accuracy")
    parser.add_argument('--root', help="folder that the list's paths start "
                        'from')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files of these names')
    add_model_arguments(parser)


def _parts(text: str) -> Tuple[str, ...]:
    parts = tuple(filter(None, map(str.strip, text.split(','))))
    if not parts or set(parts) - set(PARTS) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(
            f'takes some of {", ".join(PARTS)}, each once, got {text!r}')
    return parts


def run(options: ExportOptions) -> Optional[int]:
    """Export, check and report."""
    from .run import export
    return export(options)
