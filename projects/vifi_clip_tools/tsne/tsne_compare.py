"""Several files of embeddings of the same videos."""
from dataclasses import replace
from typing import List, Optional, Sequence

import numpy as np

from ..embeddings.file import Embeddings


def align(files: Sequence[Embeddings],
          sources: Sequence[str],
          common: bool = False) -> List[Embeddings]:
    """Bring files to the same videos in the same order.

    Args:
        files (Sequence[Embeddings]): Each with labels.
        sources (Sequence[str]): Their names, for errors.
        common (bool): Keep the videos that all have, where they differ;
            an error by default.

    Returns:
        list[Embeddings]: In the order of the first.

    Raises:
        ValueError: No labels, other videos, other labels, or other names of
            the same classes.
    """
    for file, source in zip(files, sources):
        if file.labels is None:
            raise ValueError(
                f'{source} has no labels; embed a list of "name label" lines '
                '(vifi-clip embed LIST.txt --root FOLDER)')
        if not len(file):
            raise ValueError(f'{source} holds no video')
    files = _same_videos(list(files), sources, common)
    _check_labels(files, sources)
    names = _class_names(files, sources)
    return [replace(file, class_names=names) for file in files]


def _same_videos(files: List[Embeddings], sources: Sequence[str],
                 common: bool) -> List[Embeddings]:
    first = files[0]
    if all(file.names == first.names for file in files):
        return files
    for file, source in zip(files, sources):
        if len(set(file.names)) < len(file):
            raise ValueError(f'{source} has videos of the same name, which '
                             'cannot be told apart in another file')
    shared = set(first.names).intersection(*(file.names for file in files))
    if not common and any(len(file) != len(shared) for file in files):
        sizes = ', '.join(f'{len(file)} in {source}'
                          for file, source in zip(files, sources))
        hint = 'add --common to use those' if shared else (
            'were they embedded from the same list and --root?')
        raise ValueError(f'the files hold different videos: {sizes}; '
                         f'{len(shared)} are in all of them; {hint}')
    if not shared:
        raise ValueError(f'{" and ".join(sources)} have no video in common')
    order = [name for name in first.names if name in shared]
    aligned = []
    for file in files:
        place = {name: i for i, name in enumerate(file.names)}
        aligned.append(file.take([place[name] for name in order]))
    return aligned


def _check_labels(files: Sequence[Embeddings],
                  sources: Sequence[str]) -> None:
    first = files[0]
    for file, source in zip(files[1:], sources[1:]):
        other = np.flatnonzero(file.labels != first.labels)
        if len(other):
            i = other[0]
            raise ValueError(
                f'{first.names[i]} has label {first.labels[i]} in '
                f'{sources[0]} and {file.labels[i]} in {source}: the files '
                'come from lists of different classes')


def _class_names(files: Sequence[Embeddings],
                 sources: Sequence[str]) -> Optional[List[str]]:
    known = [(file.class_names, source)
             for file, source in zip(files, sources) if file.class_names]
    for names, source in known[1:]:
        if names != known[0][0]:
            raise ValueError(f'{known[0][1]} and {source} name the classes '
                             'differently; say which with --classes')
    return known[0][0] if known else None
