"""The options of ``vifi-clip merge``."""
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

from ..cli.options import RunOptions
from ..cli.parsing import Group, argument, option, part, probability

_EVALUATE = Group('with --evaluate')


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line of ``vifi-clip merge``."""

    files: List[str] = argument(
        nargs='+', metavar='FILE', help='with --alpha, first the CLIP that '
        'training started from (a file or a tag, as in PRETRAINED); then our '
        'checkpoints: one, or several with --mean, where a work folder '
        'means its epoch_*.pth; LoRA is folded into the weights')
    out: str = option(required=True, metavar='FILE', help='.pth file to '
                      'write; with --evaluate .csv, and a .png beside it')
    alpha: List[float] = option(
        nargs='+', type=probability, default=[], metavar='A', help='write '
        '(1 - A) CLIP + A fine-tuned, for each parameter that CLIP has')
    mean: bool = option(action='store_true',
                        help='average the checkpoints')
    evaluate: Optional[str] = option(
        metavar='CONFIG', help='test each --alpha, and write the accuracies '
        'instead of weights; resumes an unfinished file')
    overwrite: bool = option(action='store_true',
                             help='replace files that exist')
    single_view: bool = option(action='store_true', group=_EVALUATE,
                               help='test one view per video')
    common: RunOptions = part(RunOptions)

    def __post_init__(self) -> None:
        tuned = len(self.files) - bool(self.alpha)
        if not (self.alpha or self.mean) and len(self.files) > 1:
            raise ValueError('give --alpha, --mean or both; without, one '
                             'checkpoint with LoRA')
        if self.alpha and (tuned < 1 or tuned > 1 and not self.mean):
            raise ValueError('--alpha takes CLIP and a checkpoint, several '
                             f'with --mean; got {" ".join(self.files)}')
        if len(self.alpha) > 1 and not self.evaluate:
            raise ValueError('several --alpha need --evaluate CONFIG')
        if self.evaluate and not self.alpha:
            raise ValueError('--evaluate needs --alpha; to test a mean, write '
                             'it, then run vifi-clip test')

    def picture(self) -> Path:
        """Name the picture beside the table."""
        return Path(self.out).with_suffix('.png')

    def record(self) -> Path:
        """Name what says, beside the table, how it was made."""
        return Path(f'{self.out}.meta.json')
