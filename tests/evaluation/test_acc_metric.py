import pickle

import numpy as np
import pytest
import torch
from mmaction.evaluation import AccMetric
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator

from projects.vifi_clip.evaluation import VideoAccMetric

# 4 samples, 3 classes; arg max: 0, 1, 2, 0
SCORES = [[.7, .2, .1], [.1, .6, .3], [.1, .2, .7], [.5, .3, .2]]


def evaluate(labels, bad=(), scores=SCORES, batch=2, **kwargs):
    evaluator = Evaluator(VideoAccMetric(**kwargs))
    samples = []
    for i, (score, label) in enumerate(zip(scores, labels)):
        sample = ActionDataSample().set_gt_label(label)
        sample.set_pred_score(torch.tensor(score))
        if i in bad:
            sample.set_metainfo(dict(bad_video=True))
        samples.append(sample)
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start:start + batch])
    return evaluator.evaluate(len(samples)), samples


TOP = dict(metric_options=dict(top_k_accuracy=dict(topk=(1, 2, 5))))


def test_without_bad_videos_it_is_acc_metric():
    values, _ = evaluate([0, 1, 2, 1], **TOP)
    assert values == {
        'acc/top1': 0.75,
        'acc/top2': 1.0,
        'acc/top5': 1.0,
        'acc/mean1': pytest.approx((1 + 1 / 2 + 1) / 3)
    }


def test_bad_videos_are_wrong_in_every_metric():
    # Sample 0 would be right; sample 3 would be right among the top 2.
    values, samples = evaluate([0, 1, 2, 1], bad=(0, 3), **TOP)
    assert values['acc/top1'] == 0.5
    assert values['acc/top2'] == 0.5
    assert values['acc/top5'] == 0.5  # although K = 3 < 5
    assert values['acc/mean1'] == pytest.approx((0 + 1 / 2 + 1) / 3)
    assert values['acc/num_bad'] == 2
    # The predictions themselves, which --dump saves, are left alone.
    np.testing.assert_allclose(samples[0].pred_score, SCORES[0])


def test_multi_label():
    kwargs = dict(metric_list='mmit_mean_average_precision')
    labels = [np.array([1, 1, 0])]
    values, _ = evaluate(labels, scores=SCORES[:1], **kwargs)
    assert values['acc/mmit_mean_average_precision'] == pytest.approx(1)
    values, _ = evaluate(labels, bad=(0, ), scores=SCORES[:1], **kwargs)
    # Both true classes tie behind the false one: precision 2 / 3 at recall 1.
    assert values['acc/mmit_mean_average_precision'] == pytest.approx(2 / 3)
    assert values['acc/num_bad'] == 1


@pytest.mark.parametrize('topk', [(1, 5), 3, (1, 50)])
def test_kept_ranks_give_mmaction2s_values(topk):
    rng = np.random.RandomState(0)
    scores = rng.rand(60, 40).round(1).tolist()  # with many ties
    labels = rng.randint(0, 30, 60).tolist()
    kwargs = dict(metric_options=dict(top_k_accuracy=dict(topk=topk)))
    ours, _ = evaluate(labels, scores=scores, batch=7, **kwargs)
    theirs = AccMetric(**kwargs).calculate(
        [np.array(s, np.float32) for s in scores], labels)
    assert ours == {
        f'acc/{name}': pytest.approx(value) for name, value in theirs.items()
    }


def test_memory_does_not_grow_with_classes():
    metric = VideoAccMetric()
    sample = ActionDataSample().set_gt_label(3)
    sample.set_pred_score(torch.rand(100_000))
    metric.process(None, [sample.to_dict()])
    assert len(pickle.dumps(metric.results)) < 1000
