"""Accuracy that knows of videos which could not be read."""
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS

from ..errors import UserError


@METRICS.register_module()
class VideoAccMetric(AccMetric):
    """AccMetric that counts unreadable videos as wrong.

    A sample whose metainfo holds ``bad_video=True``, as
    ``CheckedVideoDataset(on_bad_video='count_as_wrong')`` marks it, was scored
    on the pixels of another video. It counts as wrong in every metric, and
    ``num_bad`` reports how many there were, if any.

    Args:
        **kwargs: See MMAction2's ``AccMetric``.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Dict]) -> None:
        """Take in a batch of predictions.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Predictions with ``pred_score``
                ([K]), ``gt_label`` and the samples' metainfo.
        """
        super().process(data_batch, data_samples)
        added = self.results[len(self.results) - len(data_samples):]
        for result, sample in zip(added, data_samples):
            _check_finite(result['pred'], sample)
            if np.ndim(result['label']) == 0 and result['label'] < 0:
                raise ValueError(
                    f'{sample.get("filename", "a video")} has no label, so '
                    'there is no accuracy: write "path label" lines, or leave '
                    'out the evaluator and use --dump')
            result['bad'] = bool(sample.get('bad_video', False))
            if result['bad']:
                result['pred'] = _put_last(result['pred'], result['label'])

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute the metrics over all samples.

        Args:
            results (list[dict]): What :meth:`process` collected.

        Returns:
            dict[str, float]: Values by name of metric.
        """
        values = super().compute_metrics(results)
        num_bad = sum(result['bad'] for result in results)
        if num_bad:
            self._drop_from_full_topk(values, results, num_bad)
            values['num_bad'] = float(num_bad)
        return values

    def _drop_from_full_topk(self, values: Dict[str, float],
                             results: List[dict], num_bad: int) -> None:
        # The last of K scores still is among the best k when k >= K, where
        # every readable sample is right.
        pred = results[0]['pred']
        num_classes = len(next(iter(pred.values()))
                          if isinstance(pred, dict) else pred)
        for name in values:
            k = name.rpartition('top')[2]
            if k.isdigit() and int(k) >= num_classes:
                values[name] = 1 - num_bad / len(results)


def _check_finite(pred: Union[np.ndarray, Dict[str, np.ndarray]],
                  sample: Dict) -> None:
    """The best of NaNs would be class 0, and the accuracy look normal."""
    scores = pred.values() if isinstance(pred, dict) else [pred]
    if not all(np.isfinite(score).all() for score in scores):
        raise UserError(
            f'the scores of {sample.get("filename", "a video")} are not '
            'finite: the weights are broken, or their training diverged; '
            'test an earlier checkpoint, or train with a lower rate')


def _put_last(pred: Union[np.ndarray, Dict[str, np.ndarray]],
              label: Union[int, np.ndarray]):
    """Put the score of the true class, or classes, below all others."""
    if isinstance(pred, dict):
        return {name: _put_last(score, label) for name, score in pred.items()}
    true = [label] if np.isscalar(label) else np.flatnonzero(label)
    pred = pred.copy()
    pred[true] = pred.min() - 1
    return pred
