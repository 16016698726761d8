"""``vifi-clip export``: a model as files that run without this project."""
import argparse
import os.path as osp
from typing import List, Optional, Sequence

from ..cli.options import HelpFormatter
from ..cli.options import add_model_arguments, inferencer_from_args
from ..cli.outputs import check_target

# As export.formats, export.modules; those would take seconds to import.
FORMATS = ('onnx', 'torch-export')
PARTS = ('video', 'text', 'classifier')
_EXAMPLES = """examples:
  vifi-clip export --config small_world --out exported/
  vifi-clip export --config vifi_k400 --checkpoint vifi.pth --out exported/ \\
      --labels "arm wrestling, playing cards"
  vifi-clip export --config vifi_mini --checkpoint vifi_mini.pth --int8 \\
      --evaluate config --out exported/

Each file is run and compared with the model at every frame count and batch
size; a difference above 1e-4 is an error, exit code 1, and leaves no file."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of export."""
    parser = argparse.ArgumentParser(
        description='Export a model to ONNX or torch.export, and check it',
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument('--out', '-o', required=True, help='folder to write')
    parser.add_argument('--format', choices=FORMATS, default='onnx',
                        help='kind of files (default: onnx)')
    parser.add_argument(
        '--parts', default=','.join(PARTS), help='of video (clips to '
        'embeddings), text (tokens to embeddings) and classifier (clips to '
        'probabilities of the labels), with commas (default: all)')
    parser.add_argument(
        '--labels', help='classes of the classifier, with commas between, or '
        "a file of them (default: the config's classes)")
    parser.add_argument(
        '--input', choices=('uint8', 'float'), default='uint8',
        help='frames as they are, [B, T, H, W, 3], normalised inside the '
        'file; or normalised ones, [B, T, 3, H, W] (default: uint8)')
    parser.add_argument('--opset', type=int, metavar='N',
                        help="of ONNX, from 18 (default: torch's choice)")
    parser.add_argument(
        '--int8', action='store_true', help='also write copies with int8 '
        'matrix products (dynamic quantisation by onnxruntime)')
    _add_check_arguments(parser)
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files of these names')
    add_model_arguments(parser)
    return parser.parse_args(argv)


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--check-frames', nargs='+', type=int, default=[1, 4, 8, 16],
        metavar='T', help='frame counts to check at (default: 1 4 8 16)')
    parser.add_argument(
        '--check-batches', nargs='+', type=int, default=[1, 3], metavar='B',
        help='batch sizes to check at (default: 1 3)')
    parser.add_argument(
        '--evaluate', metavar='LIST', help='run the classifiers over the '
        "videos of a list of 'path label' lines, or 'config' for the "
        "config's test set, and print their accuracy")
    parser.add_argument('--root', help="folder that the list's paths start "
                        'from')


def check_args(args: argparse.Namespace) -> List[str]:
    """Refuse what could not be finished, before the model is loaded.

    Returns:
        list[str]: The parts.

    Raises:
        FileNotFoundError: No such list.
        ValueError: Naming the option and what is allowed.
    """
    parts = [part.strip() for part in args.parts.split(',') if part.strip()]
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts or len(set(parts)) < len(parts):
        raise ValueError(f'--parts {args.parts!r}: give some of '
                         f'{", ".join(PARTS)}, each once')
    for option in 'check_frames', 'check_batches':
        if min(getattr(args, option)) < 1:
            raise ValueError(f'--{option.replace("_", "-")} takes numbers '
                             f'from 1, got {getattr(args, option)}')
    if args.format != 'onnx' and (args.int8 or args.opset):
        raise ValueError('--int8 and --opset are for --format onnx')
    if args.opset is not None and args.opset < 18:
        raise ValueError(f'--opset {args.opset}: torch writes 18 and above')
    if args.device not in ('auto', 'cpu'):
        raise ValueError(f'--device {args.device}: export traces and checks '
                         'on CPU, and the files run anywhere; leave it out')
    from ..cli.options import inference_settings
    if inference_settings(args):
        raise ValueError('export starts from the trained float32 model: '
                         'leave out --precision, --token-merging, --compile '
                         'and --text-bf16; --int8 quantises')
    _check_evaluate(args, parts)
    return parts


def _check_evaluate(args: argparse.Namespace, parts: Sequence[str]) -> None:
    if args.root and not args.evaluate:
        raise ValueError('--root goes with --evaluate LIST')
    if not args.evaluate:
        return
    if 'classifier' not in parts:
        raise ValueError('--evaluate runs the classifier: add it to --parts')
    if args.evaluate == 'config' and args.root:
        raise ValueError("--evaluate config finds the videos itself: leave "
                         'out --root')
    if args.evaluate != 'config' and not osp.isfile(args.evaluate):
        raise FileNotFoundError(f'--evaluate {args.evaluate}: no such list')


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Export, check, report.

    Raises:
        FileNotFoundError: A config, checkpoint, list or video is absent.
        ValueError: Bad options, labels or outputs.
        UserError: The model cannot be exported.
        SystemExit: With 1, where a file differs from the model.
    """
    args = parse_args(argv)
    parts = check_args(args)
    from projects.vifi_clip.apis.inputs import read_labels
    labels = None if args.labels is None else read_labels(args.labels)
    from .formats import check_libraries
    check_libraries(args.format)
    from .run import CheckError, Options, export_model
    options = Options(args.format, parts, args.input, args.opset, args.int8,
                      args.check_frames, args.check_batches)
    for name in options.files():
        check_target('--out', osp.join(args.out, name),
                     [osp.splitext(name)[1]], args.overwrite)
    from .accuracy import find_videos
    args.device = 'cpu'
    infer = inferencer_from_args(args, labels=labels)
    videos = None
    if args.evaluate:
        videos = find_videos(args.evaluate, args.root, infer)
    try:
        result = export_model(infer, args.out, options, videos)
    except CheckError as error:
        from . import checking
        print(checking.table(error.checks))
        raise SystemExit(f'error: {error}') from error
    report(result, len(videos or ()))


def report(result, num_videos: int) -> None:
    """Print what was written and how well it agrees.

    Args:
        result (Exported): Of :func:`export_model`.
        num_videos (int): How many the accuracy was measured on.
    """
    from . import accuracy, checking
    exact = [c for c in result.checks if c.file not in result.products]
    print('Largest difference from the model, on random input')
    print(checking.table(exact))
    print(f'\nWritten to {result.folder}')
    for name, size in result.sizes.items():
        line = f'  {name:<24} {size / 1e6:>8.1f} MB'
        if name in result.products:
            worst = max(c.difference for c in result.checks if c.file == name)
            count = result.products[name]
            total = count['quantised'] + count['left']
            line += (f'   {count["quantised"]} of {total} products int8, '
                     f'off by {worst:.0e}')
        print(line)
    if result.accuracy:
        print()
        print(accuracy.table(result.accuracy, num_videos))
