"""Lists without the lines that do harm."""
import json
from dataclasses import dataclass
from typing import List, Optional, Sequence, Set

from .checks import Videos
from .cross_checks import content_of, leaking
from .findings import UNUSABLE
from .lists import Entry, VideoList
from projects.vifi_clip.datasets.naming import TRAIN


@dataclass(frozen=True)
class Removed:
    """An entry that a cleaned list leaves out, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """A cleaned list.

    Args:
        source (VideoList): The list it was made from.
        kept (list[Entry]): What is left.
        removed (list[Removed]): What is not.
    """

    source: VideoList
    kept: List[Entry]
    removed: List[Removed]

    def content(self) -> bytes:
        """The file's content; the original's where nothing was removed."""
        if not self.removed:
            return self.source.path.read_bytes()
        if self.source.is_json:
            data = {entry.path: entry.source for entry in self.kept}
            text = json.dumps(data, indent=1, ensure_ascii=False)
        else:
            text = '\n'.join(entry.source for entry in self.kept)
        return (text + '\n').encode()


def clean(lists: Sequence[VideoList], videos: Videos) -> List[Cleaned]:
    """Leave out unusable and repeated videos, and leaks from training.

    Args:
        lists (Sequence[VideoList]): All lists.
        videos (dict[str, Facts]): What is known of each video.

    Returns:
        list[Cleaned]: One for each list. Test lists lose neither leaking
        videos nor copies under another name.
    """
    leaks = leaking(lists, videos)
    return [_clean(item, videos, leaks[item.name]) for item in lists]


def _clean(item: VideoList, videos: Videos, leaks: Set[str]) -> Cleaned:
    kept, removed = [], []
    keys: Set[str] = set()
    contents: Set[str] = set()
    for entry in item.entries:
        content = content_of(entry.key, videos)
        reason = _unusable(entry, videos)
        if entry.key in keys:
            reason = reason or 'repeated_line'
        elif item.role == TRAIN and content in leaks:
            reason = reason or 'train_test'
        elif item.role == TRAIN and content in contents:
            reason = reason or 'same_bytes'
        if reason:
            removed.append(Removed(entry, reason))
            continue
        keys.add(entry.key)
        contents.add(content)
        kept.append(entry)
    return Cleaned(item, kept, removed)


def _unusable(entry: Entry, videos: Videos) -> Optional[str]:
    status = videos[entry.key].status
    return status if status in UNUSABLE else None
