"""What ``vifi-clip splits`` can be asked for, and the data sets it knows."""
import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from string import Formatter
from typing import List, Optional

from ..cli.parsing import Group, argument, number, option, positive_int

# The published data sets, and where the videos of each usually lie.
DATASETS = {'k400': '{split}/{name}', 'k600': '{split}/{name}',
            'hmdb51': '{label_}/{name}', 'ucf101': '{label}/{name}',
            'ssv2': '{name}', 'msrvtt': '{name}'}
_FIELDS = ('name', 'stem', 'split', 'label', 'label_')
_SOURCE = Group('what to read (one of them)', exclusive=True, required=True)
_LISTS = Group('what to make')


def _shots(text: str) -> int:
    """A K of K-shot lists."""
    if text.casefold() in ('none', '0'):
        raise argparse.ArgumentTypeError(
            f'for no K-shot list give the option without a number, not '
            f'{text!r}')
    return positive_int(text)


def _pattern(text: str) -> str:
    """A pattern of videos' paths whose fields are known."""
    fields = {f'{{{name}}}' for name in _FIELDS}
    try:
        used = {f'{{{field}}}' if not (spec or conversion) else field
                for _, field, spec, conversion in Formatter().parse(text)
                if field is not None}
        problem = f'{min(used - fields)!r} is not a field' if (
            used - fields) else ''
    except ValueError as error:
        problem = str(error)
    if not problem and not used & {'{name}', '{stem}'}:
        problem = 'every video would have the same path'
    if problem:
        raise argparse.ArgumentTypeError(
            f'{text!r}: {problem}; use {", ".join(sorted(fields))}, '
            'including {name} or {stem}')
    return text


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line of ``vifi-clip splits``."""

    dataset: str = argument(help=f'{", ".join(DATASETS)}, or with --csv a '
                            'name for your own')
    annotations: Optional[Path] = option(
        type=Path, metavar='DIR', group=_SOURCE,
        help='folder of the official annotation files')
    csv: Optional[Path] = option(type=Path, metavar='FILE', group=_SOURCE,
                                 help='CSV file of your own data set')
    import_dir: Optional[Path] = option(
        '--import', type=Path, metavar='DIR', group=_SOURCE, help="the "
        "paper's release: the folder of datasets_splits/ and labels/")
    check: bool = option(action='store_true', group=_SOURCE, help='write '
                         'nothing; compare lists with the manifest')
    out: Optional[Path] = option(
        type=Path, metavar='DIR', help='folder of the lists (default: '
        'data_splits/DATASET in the checkout; needed with --csv)')
    force: bool = option(action='store_true', help='overwrite lists that '
                         'differ, and delete those that earlier settings or '
                         'annotations made')
    videos: Optional[Path] = option(
        type=Path, metavar='DIR', help='with --check: folder in which every '
        'video is looked for')
    shots: List[int] = option(
        type=_shots, nargs='*', metavar='K', default=[2, 4, 8, 16],
        group=_LISTS,
        help='videos per class of the few-shot lists (default: 2 4 8 16); '
        'without a K, no such list')
    base_shots: Optional[List[int]] = option(
        type=_shots, nargs='*', metavar='K', group=_LISTS,
        help='videos per class of the base lists (default: 16; with --csv, '
        'those of --shots)')
    seeds: List[int] = option(
        type=positive_int, nargs='+', metavar='S', default=[1, 2, 3],
        group=_LISTS, help='seeds of the draws (default: 1 2 3)')
    partition: Optional[str] = option(
        choices=['published', 'frequency'], group=_LISTS,
        help='base and novel classes: the published halves (default where '
        'they exist), or the more frequent half as base (default for --csv)')
    halves: Optional[List[Path]] = option(
        type=Path, nargs=2, metavar=('BASE', 'NOVEL'), group=_LISTS,
        help='base and novel classes: class lists of your own')
    pattern: Optional[str] = option(
        type=_pattern, group=_LISTS,
        help='path of a video in the folder of videos, made of {name} {stem} '
        '{split} {label} {label_} (spaces as _); default: k400, k600 '
        '{split}/{name}, hmdb51, ucf101 {label_}/{name}, else {name}; '
        '--import: as released')
    tiny: int = option(
        type=number(int, 0), metavar='N', default=150, group=_LISTS,
        help='k400: videos of each class in train_tiny.txt, 0 for no such '
        'list (default: %(default)s)')
    zero_shot_from: str = option(
        choices=['val', 'test'], default='val', group=_LISTS,
        help='k600: official part of the zero-shot lists (default: val)')
    classes: Optional[Path] = option(
        type=Path, metavar='FILE', group=_LISTS, help='--csv: class list that '
        'fixes the label order (default: the names sorted)')
    val_ratio: float = option(
        type=number(float, 0, 1, open_low=True), default=0.2, group=_LISTS,
        help='--csv without a column split: share of each class that goes to '
        'val (default: %(default)s)')
    fix_labels: bool = option(
        action='store_true', group=_LISTS, help='--import: where label and '
        'file name disagree, use the name')

    def __post_init__(self) -> None:
        own = self.dataset not in DATASETS
        for wrong, problem in (
                # A checked folder may be of the user's own data set.
                (own and not self.csv and not (self.check and self.out),
                 f'data set {self.dataset!r} is not one of '
                 f'{", ".join(DATASETS)}; for your own give --csv, or --check '
                 'with --out'),
                (self.csv and not own,
                 f'--csv: {self.dataset!r} is a published data set; choose '
                 'another name, or give --annotations'),
                (self.csv and not self.out,
                 '--csv needs --out, the folder to write the lists to'),
                (self.csv and self.partition == 'published',
                 '--partition published is not for --csv; use --halves'),
                (self.halves and self.partition,
                 'give either --halves or --partition'),
                (self.val_ratio == 1,
                 '--val-ratio 1 leaves nothing to train on')):
            if wrong:
                raise ValueError(problem)
        self._check_scope()

    def _check_scope(self) -> None:
        """Refuse options that would have no effect."""
        recognition = (self.annotations is not None
                       and self.dataset != 'msrvtt')
        lists = bool(self.csv) or (recognition and self.dataset != 'k600')
        defaults = {item.name: item.default_factory()
                    for item in fields(self) if item.name != 'dataset'}
        for applies, what, names in (
                (self.check, '--check', 'videos'),
                (self.import_dir, '--import', 'fix_labels'),
                (self.csv, '--csv', 'classes val_ratio'),
                (recognition and self.dataset == 'k400', 'k400', 'tiny'),
                (recognition and self.dataset == 'k600', 'k600',
                 'zero_shot_from'),
                (not self.csv and not self.check, 'official lists',
                 'pattern'),
                (lists, 'K-shot and base-to-novel lists',
                 'seeds shots base_shots partition halves')):
            for name in names.split():
                if not applies and getattr(self, name) != defaults[name]:
                    raise ValueError(f'--{name.replace("_", "-")} has no '
                                     f'effect here; it is for {what}')

    @property
    def halving(self) -> str:
        """How classes become base and novel: 'published' or 'frequency'."""
        own = self.dataset not in DATASETS
        return self.partition or ('frequency' if own else 'published')
