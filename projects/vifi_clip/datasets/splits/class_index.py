"""From class names to labels."""
import difflib
from pathlib import Path
from typing import Dict, List, Sequence

from ...errors import UserError
from ..class_list import read_class_list

# The committed class lists.
PUBLISHED = Path(__file__).resolve().parents[4] / 'data_splits'


class ClassIndex:
    """Labels of class names; case and ``_`` for a space make no difference.

    Args:
        names (Sequence[str]): Class names in label order.
        source (str): Where they come from, for messages.
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
                    'differ in case or underscores alone; rename one')

    def label(self, name: str, place: str) -> int:
        """The label of a class.

        Args:
            name (str): Class name.
            place (str): Where it stands, for messages.

        Returns:
            int: Its label.

        Raises:
            UserError: If there is no such class.
        """
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
    return ClassIndex(read_class_list(path), f'data_splits/{dataset}')


def published_lists(dataset: str) -> Dict[str, List[str]]:
    """The committed class lists of a published data set.

    Args:
        dataset (str): Its name, such as 'k400'.

    Returns:
        dict[str, list[str]]: Names by file name.
    """
    paths = sorted((PUBLISHED / dataset).glob('*classes*.txt'))
    return {path.name: read_class_list(path) for path in paths}
