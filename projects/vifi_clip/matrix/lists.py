"""Whether a run's lists are the paper's."""
from typing import Optional, Sequence

from ..datasets.list_origin import CHANGED, FIXED, OFFICIAL, RELEASE
from ..datasets.splits.release_files import RELEASES

_WORDS = {
    OFFICIAL: 'from the official annotations',
    FIXED: 'with labels fixed',
    CHANGED: 'changed after they were made',
}
_KEYS = {'part', 'file', 'origin'}


def is_papers(entry: dict) -> bool:
    """Whether a list is one of the release, or the official list where the
    release has none (training videos of Kinetics-400, MSR-VTT).

    Args:
        entry (dict): Of :func:`projects.vifi_clip.datasets.list_origin`.
    """
    if entry['origin'] == OFFICIAL:
        released = RELEASES.get(entry.get('dataset'))
        return released is None or all(
            item.name != entry['file'] for item in released.lists)
    return entry['origin'] == RELEASE


def lists_text(entries: Optional[Sequence[dict]]) -> str:
    """Say which lists a run used.

    Args:
        entries (Sequence[dict], optional): Of its record; older ones have
            none.
    """
    if not (entries and isinstance(entries, list) and all(
            isinstance(entry, dict) and _KEYS <= set(entry)
            for entry in entries)):
        return 'lists not recorded'
    other = [entry for entry in entries if not is_papers(entry)]
    if not other:
        return 'the paper\'s lists'
    said = dict.fromkeys(
        f'{entry["part"]} lists '
        + _WORDS.get(entry['origin'], 'of unknown origin') for entry in other)
    return f'not the paper\'s lists: {", ".join(said)}'
