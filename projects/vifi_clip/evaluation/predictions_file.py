"""A line for each tested video."""
import csv
import io
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import put_text

from ..files import csv_rows, read_text

COLUMNS = ('video', 'label', 'predicted', 'score', 'class', 'predicted_class')


@METRICS.register_module()
class PredictionsFile(BaseMetric):
    """Write what was predicted for each video to a CSV file.

    The columns are ``video`` (path), ``label`` and ``predicted`` (indices;
    the label is -1 where it is not known, and so is the prediction of a video
    that could not be read), ``score`` (of the predicted class) and the names
    of both classes, where the data set has them.

    Args:
        out_file_path (str): The file. A loop over several sets puts the name
            of the set before its ending.
        kwargs: See MMEngine's ``BaseMetric``.
    """

    default_prefix = None

    def __init__(self, out_file_path: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.out_file_path = out_file_path

    def process(self, data_batch: Any, data_samples: Sequence[Dict]) -> None:
        """Take in predictions with ``pred_score`` ([K]), ``gt_label`` and
        ``filename``; ValueError if the model gives no scores of classes."""
        for sample in data_samples:
            if sample.get('pred_score') is None:
                raise ValueError('this model gives no scores of classes: '
                                 'leave --predictions out')
            scores = np.asarray(sample['pred_score'].float().cpu())
            label = sample['gt_label'].reshape(-1)
            best = int(scores.argmax())
            self.results.append((
                sample.get('filename', ''),
                int(label[0]) if len(label) == 1 else -1,
                -1 if sample.get('bad_video') else best, float(scores[best])))

    def compute_metrics(self, results: List[tuple]) -> dict:
        """Write the file; there are no metrics."""
        names = (self.dataset_meta or {}).get('classes') or []
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        writer.writerow(COLUMNS)
        for video, label, predicted, score in results:
            writer.writerow([video, label, predicted,
                             f'{score:.6g}' if predicted >= 0 else '',
                             *(names[i] if 0 <= i < len(names) else ''
                               for i in (label, predicted))])
        put_text(out.getvalue(), self.out_file_path)
        return {}


def read_predictions(path: str) -> Tuple[List[str], np.ndarray, np.ndarray]:
    """Read the videos, labels and predictions, N of each, of a file of
    :class:`PredictionsFile`; ValueError if it is none."""
    rows = csv_rows(read_text(Path(path), newline=''), path)
    if tuple(next(rows, (0, ()))[1]) != COLUMNS:
        raise ValueError(f'{path}: not a file of --predictions; its first '
                         f'line must be {",".join(COLUMNS)}')
    videos, pairs = [], []
    for line, row in rows:
        try:
            pairs.append((int(row[1]), int(row[2])))
        except (IndexError, ValueError) as error:
            raise ValueError(f'{path}, line {line}: label and predicted must '
                             'be whole numbers') from error
        videos.append(row[0])
    labels, predicted = np.array(pairs, dtype=int).reshape(-1, 2).T
    return videos, labels, predicted
