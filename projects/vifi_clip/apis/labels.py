"""Class names as people give them."""
import os
import os.path as osp
from typing import List, Sequence, Union

_FILES = ('.txt', '.csv', '.json', '.yaml', '.yml')


def read_labels(labels: Union[str, Sequence[str]],
                source: str = '--labels') -> List[str]:
    """Class names from a list, a file, or a text with commas.

    Args:
        labels (str | Sequence[str]): Names; or the path of a .txt, .csv,
            .json or .yaml file of them; or names with commas between.
        source (str): Named in errors. Defaults to '--labels'.

    Returns:
        list[str]: The names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No names, empty or repeated ones, or another kind of file.
    """
    from ..datasets.class_list import check_class_names, read_class_list
    if isinstance(labels, os.PathLike):
        return read_class_list(labels)
    if not isinstance(labels, str):
        return check_class_names(list(labels), source)
    if osp.splitext(labels)[1] in _FILES:
        return read_class_list(labels)
    if osp.exists(labels):
        raise ValueError(f'{source} {labels} is no list of classes; give a '
                         '.txt, .csv, .json or .yaml file, or names')
    names = [name.strip() for name in labels.split(',')]
    return check_class_names(names, source)
