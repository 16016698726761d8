"""Accuracy that knows of videos which could not be read."""
from typing import Any, Dict, List, Sequence

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
        """Take in predictions with ``pred_score`` ([K]), ``gt_label`` and the
        samples' metainfo.

        Raises:
            UserError: Scores that are not finite.
            ValueError: A video without a label.
        """
        super().process(data_batch, data_samples)
        added = self.results[len(self.results) - len(data_samples):]
        for result, sample in zip(added, data_samples):
            pred, label = result['pred'], result['label']
            # The best of NaNs would be class 0, and the accuracy look normal.
            if not np.isfinite(pred).all():
                raise UserError(
                    f'the scores of {sample.get("filename", "a video")} are '
                    'not finite: test an earlier checkpoint, or train with a '
                    'lower rate')
            if np.ndim(label) == 0 and label < 0:
                raise ValueError(
                    f'{sample.get("filename", "a video")} has no label: write '
                    '"path label" lines, or use --dump without evaluator')
            result['bad'] = bool(sample.get('bad_video', False))
            if result['bad']:
                # The true class, or classes, below all others.
                true = np.flatnonzero(label) if np.ndim(label) else label
                result['pred'] = pred = pred.copy()
                pred[true] = pred.min() - 1

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute the metrics over all samples, by name."""
        values = super().compute_metrics(results)
        num_bad = sum(result['bad'] for result in results)
        if num_bad:
            # The last of K scores still is among the best k when k >= K,
            # where every readable sample is right.
            for name in values:
                k = name.rpartition('top')[2]
                if k.isdigit() and int(k) >= len(results[0]['pred']):
                    values[name] = 1 - num_bad / len(results)
            values['num_bad'] = float(num_bad)
        return values
