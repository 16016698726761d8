"""Accuracy that knows of videos which could not be read."""
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS

from ..errors import UserError

Scores = Union[np.ndarray, Dict[str, np.ndarray]]  # [K], or by modality


@METRICS.register_module()
class VideoAccMetric(AccMetric):
    """MMAction2's AccMetric, which counts unreadable videos as wrong.

    A sample whose metainfo holds ``bad_video=True``, as
    ``CheckedVideoDataset(on_bad_video='count_as_wrong')`` marks it, was scored
    on the pixels of another video. It counts as wrong in every metric, and
    ``num_bad`` reports how many there were, if any.

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
                                'an earlier checkpoint, or train slower')
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
        if num_bad:
            # The last of K scores still is among the best k when k >= K,
            # where every readable sample is right.
            for name in values:
                k = name.rpartition('top')[2]
                if k.isdigit() and int(k) >= results[0]['num_classes']:
                    values[name] = 1 - num_bad / len(results)
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
