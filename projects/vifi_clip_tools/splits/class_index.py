"""From class names to labels."""
import difflib
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.resources import root
from projects.vifi_clip.datasets.class_list import (check_class_name,
                                                    read_class_list)

# The committed class lists.
PUBLISHED = root() / 'data_splits'
_OTHERS = {
    **dict.fromkeys(('k400', 'hmdb51', 'ucf101', 'ssv2'),
                    ['base_classes.txt', 'novel_classes.txt']),
    'k600': [f'zero_shot_{n}_classes.txt' for n in (1, 2, 3)],
}


class ClassIndex:
    """Labels of class names; case and ``_`` for a space make no difference.

    Args:
        names (Sequence[str]): Class names in label order.
        source (str): Where they come from, for messages.
        places (Sequence[str], optional): Where each name stands. Defaults to
            its label.
    """

    def __init__(self, names: Sequence[str], source: str,
                 places: Optional[Sequence[str]] = None) -> None:
        self.names = list(names)
        self.source = source
        self._labels: Dict[str, int] = {}
        for label, name in enumerate(names):
            other = self._labels.setdefault(_plain(name), label)
            if other != label:
                one, two = (places[i] if places else f'label {i}'
                            for i in (other, label))
                raise UserError(
                    f'{source}: class names {names[other]!r} ({one}) and '
                    f'{name!r} ({two}) differ in case or underscores alone; '
                    'rename one')

    def label(self, name: str, place: str) -> int:
        """The label of a class.

        Args:
            name (str): Class name.
            place (str): Where it stands, for messages.

        Returns:
            int: Its label.

        Raises:
            ValueError: If the name holds a line break or control character.
            UserError: If there is no such class.
        """
        check_class_name(name, place)
        label = self._labels.get(_plain(name))
        if label is not None:
            return label
        near = difflib.get_close_matches(_plain(name), self._labels, n=1)
        hint = ''
        if near:
            hint = f'; did you mean {self.names[self._labels[near[0]]]!r}?'
        raise UserError(f'{place}: {name!r} is not one of the '
                        f'{len(self.names)} classes of {self.source}{hint}')


def _plain(name: str) -> str:
    return ' '.join(name.replace('_', ' ').split()).casefold()


def underscored(name: str) -> str:
    """A class name as a folder or file name: spaces become underscores."""
    return name.replace(' ', '_')


def published_index(dataset: str) -> ClassIndex:
    """The committed classes of a published data set.

    Args:
        dataset (str): Its name, such as 'k400'.

    Returns:
        ClassIndex: Its classes.
    """
    path = PUBLISHED / dataset / 'classes.txt'
    _check_published(dataset, ['classes.txt'])
    return ClassIndex(read_class_list(path), f'data_splits/{dataset}')


def published_lists(dataset: str) -> Dict[str, List[str]]:
    """The committed class lists of a published data set.

    Args:
        dataset (str): Its name, such as 'k400'.

    Returns:
        dict[str, list[str]]: Names by file name.
    """
    _check_published(dataset, ['classes.txt', *_OTHERS[dataset]])
    paths = sorted((PUBLISHED / dataset).glob('*classes*.txt'))
    return {path.name: read_class_list(path) for path in paths}


def _check_published(dataset: str, names: Sequence[str]) -> None:
    for name in names:
        path = PUBLISHED / dataset / name
        if not path.is_file():
            raise FileNotFoundError(
                f'{path}: this class list is part of the checkout, and it is '
                f'missing; restore it with "git checkout -- {path}"')


def is_committed(path: Path) -> bool:
    """Whether a path is that of a committed class list."""
    folder = path.parent.resolve()
    return (folder.parent == PUBLISHED.resolve() and folder.name in _OTHERS
            and 'classes' in path.name and path.is_file())
