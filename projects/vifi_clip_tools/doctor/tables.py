"""What is known of each video and class, as CSV."""
import csv
import io
from typing import Iterable, List, Sequence

from .checks import Videos, class_counts
from .lists import VideoList


def videos_csv(videos: Videos) -> bytes:
    """One row for each video, ascending by path."""
    columns = 'path status bytes frames width height fps sha256'.split()
    return _table(columns, ([
        key, item.status, item.size, item.frames, item.width, item.height,
        item.fps, item.sha256
    ] for key, item in sorted(videos.items())))


def classes_csv(lists: Sequence[VideoList], videos: Videos) -> bytes:
    """One row for each class of each list, with numbers of its videos."""
    rows = []
    for item in lists:
        usable = class_counts(item, videos, usable=True)
        rows += [[
            item.name, label,
            item.class_name(label), number,
            usable.get(label, 0)
        ] for label, number in class_counts(item, videos).items()]
    return _table('list label class listed usable'.split(), rows)


def _table(columns: List[str], rows: Iterable[list]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()
