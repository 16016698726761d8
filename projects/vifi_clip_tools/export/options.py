"""What ``vifi-clip export`` is asked for, without anything heavy."""
import argparse
import os.path as osp
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from ..cli.options import ModelOptions
from ..cli.parsing import number, option, part, positive_int

# Parts by name, and the stems of their files.
PARTS = dict(
    video='video_encoder', text='text_encoder', classifier='classifier')
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2'}


def _parts(text: str) -> Tuple[str, ...]:
    parts = tuple(filter(None, map(str.strip, text.split(','))))
    if not parts or set(parts) - set(PARTS) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(
            f'takes some of {", ".join(PARTS)}, each once, got {text!r}')
    return parts


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export, and how to check it."""

    out: str = option('-o', required=True, help='folder to write')
    form: str = option('--format', choices=tuple(SUFFIXES), default='onnx',
                       help='format of the files (default: onnx)')
    parts: Tuple[str, ...] = option(
        type=_parts, default=tuple(PARTS), help='any of video (clips to '
        'embeddings), text (tokens to embeddings) and classifier (clips to '
        'probabilities of the labels), separated by commas (default: all)')
    labels: Optional[str] = option(
        help='classes of the classifier, separated by commas, or a file of '
        "them (default: the config's classes)")
    pixels: str = option(
        '--input', choices=('uint8', 'float'), default='uint8',
        help='uint8: the file takes frames [B, T, H, W, 3] and normalises '
        'them; float: it takes normalised ones [B, T, 3, H, W] (default: '
        'uint8)')
    opset: Optional[int] = option(
        type=number(int, 18), metavar='N',
        help="ONNX opset, at least 18 (default: torch's choice)")
    int8: bool = option(
        action='store_true', help='also write copies with int8 matrix '
        'products (dynamic quantisation by onnxruntime)')
    frames: Sequence[int] = option(
        '--check-frames', nargs='+', type=positive_int, metavar='T',
        default=(1, 4, 8, 16),
        help='frame counts to check at (default: 1 4 8 16)')
    batches: Sequence[int] = option(
        '--check-batches', nargs='+', type=positive_int, metavar='B',
        default=(1, 3), help='batch sizes to check at (default: 1 3)')
    evaluate: Optional[str] = option(
        metavar='LIST', help='run the classifiers over the videos of a list '
        "of 'path label' lines, or 'config' for the config's test set, and "
        'print their accuracy')
    root: Optional[str] = option(
        help="folder that the list's paths are relative to")
    overwrite: bool = option(action='store_true',
                             help='replace files that exist')
    model: ModelOptions = part(ModelOptions)

    def __post_init__(self) -> None:
        device = self.model.device
        for wrong, message in (
                (self.form != 'onnx' and (self.int8 or self.opset),
                 '--int8 and --opset are for --format onnx'),
                (device not in ('auto', 'cpu'),
                 f'--device {device}: export traces and checks on CPU, and '
                 'the files run anywhere; leave it out'),
                (self.model.inference,
                 'export starts from the trained float32 model: leave out '
                 '--precision, --compile and --text-bf16; --int8 quantises'),
                (self.root and self.evaluate in (None, 'config'),
                 '--root goes with --evaluate LIST'),
                (self.evaluate and 'classifier' not in self.parts,
                 '--evaluate runs the classifier: add it to --parts'),
                (self.evaluate not in (None, 'config')
                 and not osp.isfile(self.evaluate),
                 f'--evaluate {self.evaluate}: no such list')):
            if wrong:
                raise ValueError(message)

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
