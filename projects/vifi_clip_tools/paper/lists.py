"""Whether a run's lists are the paper's."""
from typing import Optional, Sequence

from projects.vifi_clip.datasets.list_origin import (CHANGED, FIXED, OFFICIAL,
                                                      RELEASE)
from ..splits.release import RELEASES

_WORDS = {
    OFFICIAL: 'from the official annotations',
    FIXED: 'with labels fixed',
    CHANGED: 'changed after they were made',
}
_NOT_RELEASED = (('k400', 'train.txt'), ('msrvtt', 'train_9k.json'),
                 ('msrvtt', 'test_JSFUSION.json'))


def is_papers(entry: dict) -> bool:
    """Whether a list is one of the release, or an official list that the
    paper used and the release does not have.

    Args:
        entry (dict): Of :func:`projects.vifi_clip.datasets.list_origin`.
    """
    if entry['origin'] == OFFICIAL:
        return (entry.get('dataset'), entry['file']) in _NOT_RELEASED
    return entry['origin'] == RELEASE and entry.get(
        'dataset') in list(RELEASES)


def lists_text(entries: Optional[Sequence[dict]]) -> str:
    """Say which lists a run used.

    Args:
        entries (Sequence[dict], optional): Of its record; older ones have
            none.
    """
    if not (entries and isinstance(entries, list) and all(
            isinstance(entry, dict)
            and all(isinstance(entry.get(key), str)
                    for key in ('part', 'file', 'origin'))
            for entry in entries)):
        return 'lists not recorded'
    other = [entry for entry in entries if not is_papers(entry)]
    if not other:
        return 'the paper\'s lists'
    said = dict.fromkeys(
        f'{entry["part"]} lists '
        + _WORDS.get(entry['origin'], 'of unknown origin') for entry in other)
    return f'not the paper\'s lists: {", ".join(said)}'
