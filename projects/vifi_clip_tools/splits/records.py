"""What the readers of annotations hand on."""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from projects.vifi_clip.errors import UserError


class Video(NamedTuple):
    """One video of a data set.

    Args:
        key (str): Name that does not depend on how the user lays out the
            files; what is drawn and compared goes by it.
        path (str): Path relative to the folder of videos.
        label (int): Index of the class.
        place (str): Where the annotation stands, for messages.
    """
    key: str
    path: str
    label: int
    place: str


@dataclass
class Annotations:
    """The videos of a data set.

    Args:
        classes (list[str]): Class names in label order.
        folds (dict[str, dict[str, list[Video]]]): By the ending of the list's
            name ('' or '_split1', ...), the videos by part ('train', 'val',
            'test').
        sources (list[Path]): Files that were read.
        class_source (str): The user's file that names the classes; empty for
            a published data set.
    """
    classes: List[str]
    folds: Dict[str, Dict[str, List[Video]]]
    sources: List[Path] = field(default_factory=list)
    class_source: str = ''

    def check(self) -> None:
        """Check that no video is repeated and that every part has some.

        Raises:
            UserError: If a part is empty, a video stands twice in a part, or
                in two parts.
        """
        for fold, parts in self.folds.items():
            seen: Dict[str, tuple] = {}
            for part, videos in parts.items():
                if not videos:
                    raise UserError(
                        f'no {part} video in the annotations'
                        f'{fold.replace("_", ", ")} ({self.names()}); give '
                        'the complete official files')
                check_unique(videos, part, seen)

    def names(self) -> str:
        """Names of the files that were read, for messages."""
        names = [path.name for path in self.sources]
        return ', '.join(names[:6]) + (', ...' if len(names) > 6 else '')


def check_unique(videos: Sequence[Video], part: str,
                 seen: Dict[str, tuple]) -> None:
    """Add videos to those seen so far.

    Args:
        videos (Sequence[Video]): Videos of one part.
        part (str): Its name.
        seen (dict): Part and place of each key so far; added to.

    Raises:
        UserError: If a video was seen before.
    """
    for video in videos:
        if video.key not in seen:
            seen[video.key] = part, video.place
            continue
        other, place = seen[video.key]
        if other == part:
            raise UserError(
                f'{video.place}: video {video.key!r} stands there already '
                f'({place}); take one of the two lines out')
        raise UserError(
            f'{video.place}: video {video.key!r} is in {part} and in {other} '
            f'({place}); a test must not see training videos, so take one of '
            'the two lines out')
