"""Videos, and the files of annotations that name them."""
from pathlib import Path, PurePosixPath
from typing import (Dict, Iterable, Iterator, List, NamedTuple, Sequence,
                    Tuple, Union)

from projects.vifi_clip.datasets.video_list import LABELS_BEHIND
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import csv_table, holds_control, read_text


class Video(NamedTuple):
    """One video of a data set."""

    # What is drawn and compared goes by its key, a name that does not depend
    # on how the user lays out the files.
    key: str
    path: str  # relative to the folder of videos
    label: int
    place: str  # where the annotation stands, for messages


def wrong(place: Union[str, Path], problem: str) -> UserError:
    """Make the error of an official file."""
    return UserError(f'{place}: {problem}; get the official file')


def some(names: Sequence[str], count: int = 5) -> str:
    """Name the first of some things, for messages."""
    return ', '.join(names[:count]) + ', ...' * (len(names) > count)


class Annotations(NamedTuple):
    """The videos of a data set."""

    classes: List[str]  # names in label order
    # by the ending of the list's name ('' or '_split1', ...), then by part
    # ('train', 'val', 'test')
    folds: Dict[str, Dict[str, List[Video]]]
    sources: List[Path]  # files that were read

    def check(self) -> None:
        """Refuse an empty part, and a video that stands in two places."""
        for fold, parts in self.folds.items():
            seen: Dict[str, tuple] = {}
            for part, videos in parts.items():
                if not videos:
                    raise UserError(
                        f'{self.names()}: no {part} video'
                        f'{fold.replace("_", " of ")}; give the complete '
                        'annotations')
                check_unique(videos, part, seen)

    def fill_paths(self, pattern: str) -> None:
        """Put each video, whose path is its file's name, where a pattern
        says."""
        for parts in self.folds.values():
            for part, videos in parts.items():
                parts[part] = [video._replace(path=video_path(
                    pattern, video.path, part, self.classes[video.label]))
                    for video in videos]

    def names(self) -> str:
        """Name the files that were read, for messages."""
        return some([path.name for path in self.sources], 6)


def check_unique(videos: Iterable[Video], part: str,
                 seen: Dict[str, tuple]) -> None:
    """Refuse a video of a part that was seen before; add to ``seen``, the
    part and place of each key."""
    for video in videos:
        other, place = seen.setdefault(video.key, (part, video.place))
        if place == video.place:
            continue
        where = ('is there already' if other == part else f'is in {part} '
                 f'and in {other}, but a test must not see training videos')
        raise UserError(f'{video.place}: video {video.key!r} {where} '
                        f'({place}); remove one of the two lines')


def video_path(pattern: str, name: str, split: str, label: str) -> str:
    """Fill a pattern: file name, the name without ending, official part,
    class name, and class name with underscores."""
    return pattern.format(
        name=name, stem=name.rpartition('.')[0] or name, split=split,
        label=label, label_=label.replace(' ', '_'))


def check_paths(videos: Iterable[Video]) -> None:
    """Check the paths of one list, or of lists that must not overlap; every
    path that is written passes through here."""
    first: Dict[str, Video] = {}
    for video in videos:
        check_path(video.path, video.place)
        other = first.setdefault(video.path, video)
        if (other.key, other.label) != (video.key, video.label):
            raise UserError(
                f'{video.place}: path {video.path!r} is that of another video '
                f'already ({other.place}); each video needs its own path (see '
                '--pattern)')


def check_path(path: str, place: str) -> None:
    """Check that a path lies below the folder of videos, and reads back."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == '/' or '..' in parts:
        raise UserError(f'{place}: path {path!r} must lie below the folder '
                        'of videos; write it relative to that folder')
    if '\\' in path:
        raise UserError(f'{place}: path {path!r} has the \\ of Windows; write '
                        '/ for it')
    if (path != path.strip() or holds_control(path)
            or LABELS_BEHIND.fullmatch(path)):
        raise UserError(f'{place}: path {path!r} has a blank or numbers at an '
                        'end, or holds a line break or control character; '
                        'rename the file (a quote is missing?)')


def read_lines(path: Path) -> List[Tuple[str, str]]:
    """Read the lines that are not blank: place ('FILE, line 3'), text."""
    # Not splitlines(), which also splits inside names, at '\x85' say.
    lines = enumerate(read_text(path).split('\n'), start=1)
    texts = [(f'{path}, line {number}', line.strip())
             for number, line in lines if line.strip()]
    if not texts:
        raise UserError(f'{path}: the file is empty; get a complete copy')
    return texts


def read_table(path: Path, required: Sequence[str],
               optional: Sequence[str] = ()
               ) -> Iterator[Tuple[str, Dict[str, str]]]:
    """Read a CSV file with a header, as :func:`csv_table` does: place
    ('FILE, line 3') and fields of each row."""
    return ((f'{path}, line {number}', row)
            for number, row in csv_table(path, required, optional))


def find_file(folder: Path, patterns: Sequence[str], what: str) -> Path:
    """Find the one file of a folder, not below it, that matches the first
    glob pattern of which there is one."""
    for pattern in patterns:
        paths = sorted(p for p in folder.glob(pattern) if p.is_file())
        if len(paths) > 1:
            names = ', '.join(path.name for path in paths)
            raise UserError(f'{folder}: {names} could all be {what}; keep '
                            'one of them there')
        if paths:
            return paths[0]
    raise FileNotFoundError(f'{folder}: no {what} there (looked for '
                            f'{", ".join(patterns)}); put the official file '
                            'there under its own name')
