"""The pictures of ``vifi-clip analyze``. Letters: K classes."""
import io
import math
import textwrap
from typing import List, Optional, Sequence, Set

import numpy as np
from matplotlib.figure import Figure

from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.datasets.shards import source_of
from projects.vifi_clip.errors import UnreadableVideo

_MOST = 30  # classes whose names and numbers can be read
_COLUMNS = 6  # of frames


def draw_confusion(names: Sequence[str], counts: np.ndarray) -> bytes:
    """Draw a confusion matrix [K, K] as a PNG picture. Of more than 30
    classes, those that are confused most often are shown, and a last column
    has what was taken for any other."""
    shown = most_confused(counts)
    part = counts[np.ix_(shown, shown)]
    labels = [_short(names[k]) for k in shown]
    columns = list(labels)
    if len(shown) < len(names):
        others = counts[shown].sum(1) - part.sum(1)
        part = np.concatenate([part, others[:, None]], axis=1)
        columns.append('any other')
    shares = part / np.maximum(part.sum(1, keepdims=True), 1)
    side = 2.6 + 0.3 * len(columns)
    figure = Figure((side + 0.4, side), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set(xlabel='predicted class', ylabel='true class')
    for (row, column), number in np.ndenumerate(part):
        if number:
            axes.text(column, row, number, fontsize=7, ha='center',
                      va='center',
                      color='white' if shares[row, column] > .5 else 'black')
    axes.set_title(
        f'{len(shown)} of {len(names)} classes, those confused most often'
        if len(shown) < len(names) else 'videos of each class', fontsize=10)
    figure.colorbar(image, shrink=0.6, label='share of the true class')
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=120)
    return out.getvalue()


def most_confused(counts: np.ndarray) -> List[int]:
    """Return the indices, ascending, of up to 30 classes: pair by pair, the
    most frequent confusions first."""
    if len(counts) <= _MOST:
        return list(range(len(counts)))
    wrong = counts - np.diag(np.diag(counts))
    chosen: Set[int] = set()
    for pair in np.argsort(-wrong, axis=None, kind='stable').tolist():
        more = chosen.union(divmod(pair, len(counts)))
        if len(more) > _MOST or chosen and not wrong.flat[pair]:
            break
        chosen = more
    return sorted(chosen)


def draw_videos(rows: Sequence[Sequence[str]]) -> bytes:
    """Draw the middle frame of each video over its class, the predicted
    class and the score, as a JPEG picture; a video that is not there leaves
    an empty place."""
    lines = math.ceil(len(rows) / _COLUMNS)
    figure = Figure((2.1 * _COLUMNS, 2.5 * lines), layout='constrained')
    places = figure.subplots(lines, _COLUMNS, squeeze=False).flatten()
    for axes in places:
        axes.axis('off')
    for axes, (path, label, predicted, score) in zip(places, rows):
        frame = middle_frame(path)
        if frame is None:
            axes.text(.5, .5, 'the video cannot be read', ha='center',
                      fontsize=7, transform=axes.transAxes)
        else:
            axes.imshow(frame)
        sure = f'with {100 * float(score):.0f}%' if score else ''
        axes.set_title(f'{_short(label)}\npredicted: {_short(predicted)}\n'
                       f'{sure}', fontsize=7)
    out = io.BytesIO()
    figure.savefig(out, format='jpg', dpi=120)
    return out.getvalue()


def _short(text: str) -> str:
    """Cut a text; dollars would be mathematics to matplotlib."""
    return textwrap.shorten(text, 34, placeholder='…').replace('$', r'\$')


def middle_frame(path: str) -> Optional[np.ndarray]:
    """Read the middle frame, uint8 RGB [H, W, 3], if it can be read."""
    try:
        video = open_video(source_of(path))
        return next(iter(video.frames([len(video) // 2])))
    except (UnreadableVideo, OSError):
        return None
