"""What ``vifi-clip analyze`` finds in a file of predictions.

Letters: N videos, K classes that occur in the file, as a label or as a
prediction.
"""
import os.path as osp
from typing import Any, List, NamedTuple, Sequence

import numpy as np

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.evaluation import Predictions, read_predictions
from projects.vifi_clip.files import write_bytes, write_text
from ..cli.outputs import check_target
from ..cli.tables import csv_lines, markdown_table
from .options import AnalyzeOptions
from .pictures import draw_confusion, draw_videos

_FILES = ('per_class.csv', 'confusion.csv', 'confusion.png', 'wrong.csv',
          'worst.jpg')
_PRINTED = 10  # classes


class Confusion(NamedTuple):
    """How often each class was taken for each other."""

    names: List[str]  # K
    counts: np.ndarray  # [K, K], true class by predicted class
    videos: np.ndarray  # [K] of each true class, those that were not read, too

    @property
    def recall(self) -> np.ndarray:
        """The share [K] of each class's videos that is right."""
        return np.diag(self.counts) / np.maximum(self.videos, 1)

    @property
    def precision(self) -> np.ndarray:
        """The share [K] of the predictions of each class that is right."""
        return np.diag(self.counts) / np.maximum(self.counts.sum(0), 1)


def analyze(options: AnalyzeOptions) -> None:
    """Run ``vifi-clip analyze``."""
    per_class, matrix, picture, wrong, sheet = (
        check_target('--out', osp.join(options.out, name),
                     [osp.splitext(name)[1]], options.overwrite)
        for name in _FILES)
    found = read_predictions(options.predictions)
    known = found.labels >= 0
    if not known.any():
        raise UserError(f'{options.predictions}: no video has a label, so '
                        'nothing can be right or wrong')
    confusion = count(found)
    errors = [i for i in np.argsort(-np.nan_to_num(found.scores))
              if known[i] and found.labels[i] != found.predicted[i]]
    rows = class_rows(confusion)
    write_text(per_class, csv_lines(rows))
    write_text(matrix, csv_lines([['true / predicted', *confusion.names], *(
        [name, *row] for name, row in zip(confusion.names,
                                          confusion.counts.tolist()))]))
    write_bytes(picture, draw_confusion(confusion.names, confusion.counts))
    write_text(wrong, csv_lines([
        ['video', 'class', 'predicted_class', 'score'],
        *(error_row(found, i) for i in errors)]))
    shown = [i for i in errors if found.predicted[i] >= 0][:options.worst]
    if shown:
        write_bytes(sheet, draw_videos(
            [error_row(found, i) for i in shown]))
    seen = confusion.videos > 0
    print(f'{known.sum() - len(errors)} of {known.sum()} videos are right: '
          f'{100 - 100 * len(errors) / known.sum():.1f}%; the mean over '
          f'{seen.sum()} classes is {100 * confusion.recall[seen].mean():.1f}%'
          f'\n\n{markdown_table(rows[0], rows[1:_PRINTED + 1])}\n\n'
          f'{options.out}: {", ".join(_FILES if shown else _FILES[:-1])}')


def count(found: Predictions) -> Confusion:
    """Count true against predicted classes."""
    ids = sorted({*found.labels.tolist(), *found.predicted.tolist()} - {-1})
    known = found.labels >= 0
    read = known & (found.predicted >= 0)
    counts = np.zeros((len(ids), len(ids)), dtype=int)
    true, predicted, all_true = (np.searchsorted(ids, values) for values in (
        found.labels[read], found.predicted[read], found.labels[known]))
    np.add.at(counts, (true, predicted), 1)
    videos = np.bincount(all_true, minlength=len(ids))
    return Confusion([found.names.get(i) or str(i) for i in ids], counts,
                     videos)


def class_rows(confusion: Confusion) -> List[Sequence[Any]]:
    """Return a table with its header, the class of the lowest recall first;
    classes without videos are left out."""
    others = confusion.counts - np.diag(np.diag(confusion.counts))
    rival = others.argmax(1)
    rows: List[Sequence[Any]] = [
        ('class', 'videos', 'right', 'recall', 'precision',
         'most often predicted as', 'times')]
    for k in np.argsort(confusion.recall, kind='stable').tolist():
        if confusion.videos[k]:
            times = others[k, rival[k]]
            rows.append((
                confusion.names[k], confusion.videos[k],
                confusion.counts[k, k], f'{confusion.recall[k]:.3f}',
                f'{confusion.precision[k]:.3f}',
                confusion.names[rival[k]] if times else '', times))
    return rows


def error_row(found: Predictions, i: int) -> List[str]:
    """Return the video, its class, the predicted class and the score of an
    error; both of the latter are empty where the video was not read."""
    label, predicted = (
        '' if k < 0 else found.names.get(k) or str(k)
        for k in (int(found.labels[i]), int(found.predicted[i])))
    score = found.scores[i]
    return [found.videos[i], label, predicted,
            '' if np.isnan(score) else f'{score:.4f}']
