"""Class names: to labels, in the committed lists, in the names of videos."""
import re
from pathlib import Path
from typing import Dict, List, Sequence

from projects.vifi_clip.datasets.class_list import (clean_class_name,
                                                    read_class_list)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_configs.shipped import root
from .records import Video

# The committed class lists, and which of them a data set must have.
PUBLISHED = root() / 'data_splits'
_HALVES = ['classes.txt', 'base_classes.txt', 'novel_classes.txt']
_NEEDED = dict.fromkeys(('k400', 'hmdb51', 'ucf101', 'ssv2'), _HALVES)
_NEEDED['k600'] = ['classes.txt', *(
    f'zero_shot_{n}_classes.txt' for n in (1, 2, 3))]
# File names of videos; a group says which class a video is named after.
_YOUTUBE = r'[\w-]{11}_\d{6}_\d{6}\.\w+'
VIDEO_NAMES = {
    'k400': _YOUTUBE,
    'k600': _YOUTUBE,
    'hmdb51': r'(?P<end>.+)_[a-z]_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+\.avi',
    'ucf101': r'v_(?P<whole>\w+)_g\d+_c\d+\.avi',
    'ssv2': r'\d+\.(webm|mp4)'}
# Beyond this share, another list was given; the release's own slips are 8%.
_MAX_MISNAMED = 0.2


class ClassIndex:
    """Labels of class names, which are given in label order; case and ``_``
    for a space make no difference. ``source`` is where the names come from.
    """

    def __init__(self, names: Sequence[str], source: str) -> None:
        self.names = list(names)
        self.source = source
        self._labels: Dict[str, int] = {}
        for label, name in enumerate(names):
            other = self._labels.setdefault(_plain(name), label)
            if other != label:
                raise UserError(
                    f'{source}: class names {names[other]!r} and {name!r} '
                    'differ only in case or underscores; rename one')

    def label(self, name: str, place: str) -> int:
        """The label of a class; ``place`` is where the name stands."""
        name = clean_class_name(name, place)
        label = self._labels.get(_plain(name))
        if label is None:
            raise UserError(f'{place}: {name!r} is not one of the '
                            f'{len(self.names)} classes of {self.source}')
        return label


def _plain(name: str) -> str:
    return ' '.join(name.replace('_', ' ').split()).casefold()


def published_lists(dataset: str) -> Dict[str, List[str]]:
    """The committed class lists of a data set, by file name."""
    folder = PUBLISHED / dataset
    for path in (folder / name for name in _NEEDED[dataset]):
        if not path.is_file():
            raise FileNotFoundError(
                f'{path}: this class list is part of the checkout, and it is '
                f'missing; restore it with "git checkout -- {path}"')
    return {path.name: read_class_list(path)
            for path in sorted(folder.glob('*classes*.txt'))}


def is_committed(path: Path) -> bool:
    """Whether a path is that of a committed class list."""
    folder = path.parent.resolve()
    return (folder.parent == PUBLISHED.resolve() and folder.name in _NEEDED
            and 'classes' in path.name and path.is_file())


def misnamed(videos: Sequence[Video], dataset: str,
             index: ClassIndex) -> Dict[Video, int]:
    """Find the videos of a file of annotations that are named after another
    class than their own: the label that the name tells, or -1 if that is none
    of the classes. Those of HMDB-51 and UCF-101 are named after classes.

    Raises:
        UserError: There are many: it is the wrong file.
    """
    odd = {}
    for video in videos:
        name = video.key.rpartition('/')[2]
        match = re.fullmatch(VIDEO_NAMES[dataset], name)
        told = match.groupdict() if match else {}
        if 'whole' in told:
            same = [k for k, name in enumerate(index.names)
                    if name.casefold() == told['whole'].casefold()]
            label = same[0] if same else -1
        elif 'end' in told:  # TITLE_CLASS, and a class may end like another
            ends = [(len(name), k) for k, name in enumerate(index.names)
                    if f'_{told["end"]}'.endswith(
                        f'_{name}'.replace(' ', '_'))]
            label = max(ends)[1] if ends else -1
        else:
            continue
        if label != video.label:
            odd[video] = label
    if len(odd) > _MAX_MISNAMED * len(videos):
        video = next(iter(odd))
        raise UserError(
            f'{video.place}: {video.key.rpartition("/")[2]!r} is not named '
            f'after its class {index.names[video.label]!r}, nor are '
            f'{len(odd)} of {len(videos)} videos; give the right list')
    return odd
