"""Metrics that MMAction2 lacks: accuracy that knows of videos which could not
be read, a line for each tested video, and what the paper reports of several
test sets."""
import csv
import io
import statistics
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import put_text

from .errors import UserError
from .files import csv_rows, read_text

COLUMNS = ('video', 'label', 'predicted', 'score', 'class', 'predicted_class')
Metrics = Dict[str, float]
Scores = Union[np.ndarray, Dict[str, np.ndarray]]  # [K], or by modality


@METRICS.register_module()
class VideoAccMetric(AccMetric):
    """MMAction2's AccMetric, which counts unreadable videos as wrong.

    A sample whose metainfo holds ``bad_video=True``, as
    ``CheckedVideoDataset(on_bad_video='count_as_wrong')`` marks it, was scored
    on the pixels of another video. It counts as wrong in every metric, and
    ``num_bad`` reports how many there were, if any. Top-k is left out where
    there are at most k classes, for k above 1: it would be 1.

    Where top-k and mean class accuracy of single labels are all that is asked
    for, each video's best classes are kept in place of all K scores (3 GB for
    20,000 videos and 40,000 classes), to the same values.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Dict]) -> None:
        """Take in predictions with ``pred_score`` ([K]), ``gt_label`` and the
        samples' metainfo; UserError if scores are not finite, ValueError for
        a video without a label."""
        super().process(data_batch, data_samples)
        ranks_only = set(self.metrics) <= {'top_k_accuracy',
                                           'mean_class_accuracy'}
        added = self.results[len(self.results) - len(data_samples):]
        for result, sample in zip(added, data_samples):
            pred, label = result['pred'], result['label']
            name = sample.get('filename', 'a video')
            parts = list(pred.values()) if isinstance(pred, dict) else [pred]
            # The best of NaNs would be class 0, and the accuracy look normal.
            if not all(np.isfinite(scores).all() for scores in parts):
                raise UserError(f'the scores of {name} are not finite: test '
                                'an earlier checkpoint, or a lower rate')
            if np.ndim(label) == 0 and label < 0:
                raise ValueError(f'{name} has no label: write "path label" '
                                 'lines, or use --dump without evaluator')
            result['num_classes'] = len(parts[0])
            result['bad'] = bool(sample.get('bad_video', False))
            if result['bad']:
                pred = result['pred'] = _put_last(pred, label)
            if ranks_only and not isinstance(pred, dict) and not np.ndim(
                    label):
                # The best class, and the best k in the order of MMAction2's
                # top_k_accuracy, which differs where scores tie.
                result['pred'] = np.append(
                    pred.argmax(), np.argsort(pred)[::-1][:max(self._topk)])

    @property
    def _topk(self) -> Sequence[int]:
        options = (self.metric_options or {}).get('top_k_accuracy', {})
        topk = options.get('topk', (1, 5))
        return (topk, ) if isinstance(topk, int) else topk

    def calculate(self, preds: list, labels: list) -> Dict[str, float]:
        """Compute metrics of scores, or of the whole numbers that
        :meth:`process` kept in their place."""
        if any(isinstance(pred, dict) or pred.dtype.kind == 'f'
               for pred in preds):
            return super().calculate(preds, labels)
        values, labels, ranks = {}, np.array(labels), np.stack(preds)
        first, hits = ranks[:, 0], ranks[:, 1:] == labels[:, None]
        if 'top_k_accuracy' in self.metrics:
            values = {f'top{k}': float(hits[:, :k].any(1).mean())
                      for k in self._topk}
        if 'mean_class_accuracy' in self.metrics:
            # MMAction2's, over all classes that occur or were predicted,
            # without its matrix of classes x classes.
            counts = np.bincount(labels)
            right = np.bincount(labels[first == labels], None, len(counts))
            values['mean1'] = float((right / np.maximum(counts, 1)).sum()
                                    / len(np.union1d(first, labels)))
        return values

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        values = super().compute_metrics(results)
        num_bad = sum(result['bad'] for result in results)
        for name in list(values):
            k = name.rpartition('top')[2]
            if k.isdigit() and int(k) >= results[0]['num_classes']:
                # Every readable video is among the best k of so few classes.
                if int(k) > 1:
                    del values[name]
                else:
                    values[name] = 1 - num_bad / len(results)
        if num_bad:
            values['num_bad'] = float(num_bad)
        return values


def _put_last(pred: Scores, label: Union[int, np.ndarray]) -> Scores:
    """Put the score of the true class, or classes, below all others."""
    if isinstance(pred, dict):
        return {name: _put_last(score, label) for name, score in pred.items()}
    true = [label] if np.isscalar(label) else np.flatnonzero(label)
    pred = pred.copy()
    pred[true] = pred.min() - 1
    return pred


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

    default_prefix = 'predictions'  # of no metrics; MMEngine warns without

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
            # of classes that tie, the one that top-1 takes
            best = int(scores.argsort()[-1])
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


class Predictions(NamedTuple):
    """What a file of :class:`PredictionsFile` says of N videos."""

    videos: List[str]
    labels: np.ndarray  # [N], -1 where it is not known
    predicted: np.ndarray  # [N], -1 of a video that could not be read
    scores: np.ndarray  # [N], of the predicted class; NaN without one
    names: Dict[int, str]  # of the classes that have one in the file


def read_predictions(path: str) -> Predictions:
    """Read a file of :class:`PredictionsFile`; ValueError if it is none."""
    rows = csv_rows(read_text(Path(path), newline=''), path)
    if tuple(next(rows, (0, ()))[1]) != COLUMNS:
        raise ValueError(f'{path}: not a file of --predictions; its first '
                         f'line must be {",".join(COLUMNS)}')
    videos, pairs, scores, names = [], [], [], {}
    for line, row in rows:
        try:
            pairs.append((int(row[1]), int(row[2])))
            if not (-1 <= min(pairs[-1]) and max(pairs[-1]) < 2**31):
                raise ValueError('no class')
            scores.append(float(row[3] or 'nan'))
        except (IndexError, ValueError) as error:
            raise ValueError(f'{path}, line {line}: label and predicted must '
                             'be whole numbers from -1, score a number or '
                             'nothing') from error
        names.update(zip(pairs[-1], row[4:]))
        videos.append(row[0])
    labels, predicted = np.array(pairs, dtype=int).reshape(-1, 2).T
    return Predictions(videos, labels, predicted, np.array(scores), names)


def summarise_sets(metrics: Dict[str, Metrics],
                   groups: Dict[str, List[str]],
                   harmonic_mean: Optional[Sequence[str]] = None) -> Metrics:
    """Put the metrics of several sets into one dict.

    Args:
        metrics (dict[str, dict[str, float]]): Metrics by name of set.
        groups (dict[str, list[str]]): Names of sets that are repetitions of
            one measurement (the three splits of HMDB-51), by name of group.
            Each metric's mean and sample standard deviation (n - 1) over the
            group are added as ``<group>/<metric>_mean`` and ``..._std``.
        harmonic_mean (Sequence[str], optional): Two sets, base and novel,
            whose harmonic mean 2bn / (b + n) is added as ``HM/<metric>``
            (ViFi-CLIP Table 2). Defaults to None.

    Returns:
        dict[str, float]: ``<set>/<metric>`` of every set, then the above.
    """
    joined = {f'{name}/{key}': value for name, values in metrics.items()
              for key, value in values.items()}
    for group, names in groups.items():
        for key in _shared_keys(metrics, names):
            values = [metrics[name][key] for name in names]
            joined[f'{group}/{key}_mean'] = statistics.fmean(values)
            joined[f'{group}/{key}_std'] = statistics.stdev(values)
    if harmonic_mean:
        base, novel = (metrics[name] for name in harmonic_mean)
        for key in _shared_keys(metrics, harmonic_mean):
            joined[f'HM/{key}'] = harmonic_mean_of(base[key], novel[key])
    return joined


def harmonic_mean_of(base: float, novel: float) -> float:
    """Return 2bn / (b + n) (ViFi-CLIP Table 2), 0 where both are."""
    return 2 * base * novel / (base + novel) if base + novel else 0.


def _shared_keys(metrics: Dict[str, Metrics], names: Sequence[str]) -> list:
    """Metrics that every set has; a count of bad videos may be in some."""
    first, *rest = (metrics[name] for name in names)
    return [key for key in first
            if key != 'num_bad' and all(key in other for other in rest)]
