"""A user's own data set: one CSV file, ``path,label[,split]``."""
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional

from projects.vifi_clip.datasets.class_list import (check_class_name,
                                                    read_class_list)
from projects.vifi_clip.errors import UserError
from .classes import ClassIndex
from .protocols import draw
from .records import (Annotations, Video, check_path, check_unique,
                      read_table)


def read_own(path: Path, classes: Optional[Path],
             val_ratio: float) -> Annotations:
    """Read a CSV file with the columns path, label (class name) and, if
    wanted, split (train or val); without it ``val_ratio`` is the share of
    each class that goes to val, at least one video. The label order is that
    of the class list ``classes``, or of the names, sorted."""
    rows = list(read_table(path, ('path', 'label'), ('split', )))
    if classes:
        index = ClassIndex(read_class_list(classes), str(classes))
    else:
        for place, row in rows:
            check_class_name(row['label'], place)
        index = ClassIndex(sorted({row['label'] for _, row in rows}),
                           str(path))
    videos = []
    for place, row in rows:
        # './a.mp4' and 'a.mp4' are one video.
        name = str(PurePosixPath(row['path']))
        check_path(name, place)
        videos.append(Video(name, name, index.label(row['label'], place),
                            place))
    if 'split' not in rows[0][1]:
        parts = _split(videos, index, val_ratio, path)
    else:
        parts = {'train': [], 'val': []}
        for video, (place, row) in zip(videos, rows):
            if row['split'] not in parts:
                raise UserError(f'{place}: split is {row["split"]!r}; write '
                                'train or val, or leave the column out')
            parts[row['split']].append(video)
    sources = [path] + ([classes] if classes else [])
    return Annotations(index.names, {'': parts}, sources)


def _split(videos: List[Video], index: ClassIndex, val_ratio: float,
           path: Path) -> Dict[str, List[Video]]:
    check_unique(videos, 'the file', {})
    by_label: Dict[int, List[Video]] = defaultdict(list)
    for video in videos:
        by_label[video.label].append(video)
    parts: Dict[str, List[Video]] = {'train': [], 'val': []}
    for label, members in sorted(by_label.items()):
        if len(members) < 2:
            raise UserError(
                f'{members[0].place}: class {index.names[label]!r} has one '
                f'video in {path.name}; a split into train and val needs '
                'two, or a column "split" that says where it goes')
        count = min(max(1, round(val_ratio * len(members))), len(members) - 1)
        # Not a seed that K-shot draws use: which videos are held out should
        # not tell which are drawn.
        held_out = set(draw([(v.key, v) for v in members], count, seed=-1))
        for video in members:
            parts['val' if video in held_out else 'train'].append(video)
    return parts
