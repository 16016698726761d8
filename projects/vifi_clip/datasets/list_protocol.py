"""Whether a list of videos and a class list belong to the same protocol."""
from pathlib import Path
from typing import Sequence

from .class_list import read_class_list
from .naming import class_file_of, class_lists_in, prefix_of, role_of


def check_protocol(ann_file: str, class_names: Sequence[str],
                   class_file: str) -> None:
    """Refuse the list of one protocol with the classes of another.

    Labels of ``base_val.txt`` count within the base half, so with all classes
    they would be in range and mean something else. Goes by the names that
    tools/make_splits.py gives; other lists pass.

    Args:
        ann_file (str): List of videos.
        class_names (Sequence[str]): Classes that it is read with.
        class_file (str): Where these come from, for the message.

    Raises:
        ValueError: The class list beside ``ann_file`` that its labels count
            in has another number of classes, or they are those of another
            class list beside it.
    """
    path = Path(ann_file)
    if role_of(path) is None:  # a name of the user's own
        return
    own = class_file_of(path, prefix_of(path.stem))
    if own is None:
        return
    numbered = read_class_list(own)
    if list(class_names) == numbered:
        return
    # Names of the user's own for the same classes are welcome, but not those
    # of another half, which may be as many.
    others = [file for file in class_lists_in(path.parent)
              if file.name != own.name.replace('.txt', '_words.txt')]
    if len(numbered) != len(class_names) or any(
            read_class_list(file) == list(class_names) for file in others):
        raise ValueError(
            f'{ann_file} numbers the {len(numbered)} classes of {own.name} '
            f'beside it, but is read with the {len(class_names)} of '
            f'{class_file}; it is a list of another protocol: give that class '
            'list, or the list that belongs to yours')
