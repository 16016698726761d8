"""``vifi-clip export``: a model as files that run without this project."""
import argparse
import os.path as osp
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

from ..cli.options import (HelpFormatter, ModelOptions, add_model_arguments,
                           model_options, number, positive_int)

# Parts by name, and the stems of their files.
PARTS = dict(
    video='video_encoder', text='text_encoder', classifier='classifier')
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2'}
_EXAMPLES = """examples:
  vifi-clip export --config small_world --out exported/
  vifi-clip export --config vifi_k400 --checkpoint vifi.pth --out exported/ \\
      --labels "arm wrestling, playing cards"
  vifi-clip export --config vifi_mini --checkpoint vifi_mini.pth --int8 \\
      --evaluate config --out exported/

Each file is run and compared with the model at every frame count and batch
size; a difference above 1e-4 is an error, exit code 1, and leaves no file."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how to check it."""
    out: str  # folder
    form: str = 'onnx'  # of SUFFIXES
    parts: Tuple[str, ...] = tuple(PARTS)
    pixels: str = 'uint8'  # frames as they are; normalised ones are 'float'
    opset: Optional[int] = None  # of ONNX; None leaves it to torch
    int8: bool = False  # also write quantised copies
    frames: Tuple[int, ...] = (1, 4, 8, 16)  # to check at
    batches: Tuple[int, ...] = (1, 3)
    labels: Optional[str] = None  # of the classifier
    evaluate: Optional[str] = None  # list of videos with labels, or 'config'
    root: Optional[str] = None  # folder that the list's paths start from
    overwrite: bool = False
    model: ModelOptions = ModelOptions()

    def file_name(self, part: str, int8: bool = False) -> str:
        """Return the name of a part's file, such as 'video_encoder.onnx'."""
        return PARTS[part] + ('_int8' if int8 else '') + SUFFIXES[self.form]

    def models(self) -> List[str]:
        """Return the names of the model files, the int8 copies last."""
        return [self.file_name(part, int8)
                for int8 in ((False, True) if self.int8 else (False, ))
                for part in self.parts]

    def files(self) -> List[str]:
        """Return the names of all files that are written."""
        example = ['example.py'] if self.form == 'onnx' else []
        return [*self.models(), 'README.md', 'classes.json', *example]


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
