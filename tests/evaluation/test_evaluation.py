"""Accuracy with unreadable videos, the file of predictions, sets together."""
import json
import pickle

import numpy as np
import pytest
import torch
from mmaction.evaluation import AccMetric
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.evaluation import (COLUMNS, PredictionsFile,
                                           VideoAccMetric, read_predictions,
                                           summarise_sets)
from projects.vifi_clip_tools.run.test import parse_args, record

# 4 samples, 3 classes; arg max: 0, 1, 2, 0
SCORES = [[.7, .2, .1], [.1, .6, .3], [.1, .2, .7], [.5, .3, .2]]
TOP = dict(metric_options=dict(top_k_accuracy=dict(topk=(1, 2, 5))))
HEAD = ','.join(COLUMNS) + '\n'


def sample(label, scores, **info):
    made = ActionDataSample().set_gt_label(label)
    if scores is not None:
        made.set_pred_score(torch.as_tensor(scores))
    made.set_metainfo(info)
    return made


def evaluate(metric, samples, **meta):
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = meta
    for start in range(0, len(samples), 3):
        evaluator.process(samples[start:start + 3])
    return evaluator.evaluate(len(samples))


def accuracy(labels, bad=(), scores=SCORES, **kwargs):
    samples = [sample(label, score, bad_video=i in bad)
               for i, (score, label) in enumerate(zip(scores, labels))]
    values = evaluate(VideoAccMetric(**kwargs), samples)
    for given, score in zip(samples, scores):  # left alone, for --dump
        np.testing.assert_allclose(given.pred_score, score, rtol=1e-6)
    return values


def test_bad_videos_are_wrong_in_every_metric():
    assert accuracy([0, 1, 2, 1], **TOP) == {
        'acc/top1': 0.75, 'acc/top2': 1.0,
        'acc/mean1': pytest.approx((1 + 1 / 2 + 1) / 3)}
    # Sample 0 would be right; sample 3 would be right among the top 2. Top 5
    # of 3 classes says nothing, and is left out.
    assert accuracy([0, 1, 2, 1], bad=(0, 3), **TOP) == {
        'acc/top1': 0.5, 'acc/top2': 0.5,
        'acc/mean1': pytest.approx((0 + 1 / 2 + 1) / 3), 'acc/num_bad': 2}


# Both true classes tie behind the false one: precision 2 / 3 at recall 1.
@pytest.mark.parametrize('bad, expected', [((), 1), ((0, ), 2 / 3)])
def test_multi_label(bad, expected):
    values = accuracy([np.array([1, 1, 0])], bad, SCORES[:1],
                      metric_list='mmit_mean_average_precision')
    assert values['acc/mmit_mean_average_precision'] == pytest.approx(expected)
    assert values.get('acc/num_bad', 0) == len(bad)


@pytest.mark.parametrize('topk', [(1, 5), 3, (1, 39)])
def test_kept_ranks_give_mmaction2s_values(topk):
    rng = np.random.RandomState(0)
    scores = rng.rand(60, 40).round(1).tolist()  # with many ties
    labels = rng.randint(0, 30, 60).tolist()
    kwargs = dict(metric_options=dict(top_k_accuracy=dict(topk=topk)))
    theirs = AccMetric(**kwargs).calculate(
        [np.array(s, np.float32) for s in scores], labels)
    assert accuracy(labels, scores=scores, **kwargs) == {
        f'acc/{name}': pytest.approx(value) for name, value in theirs.items()}


def test_predictions_written_are_those_of_top1(tmp_path):
    """Of classes that tie, MMAction2's top-1 takes another than argmax."""
    draw, path = np.random.default_rng(0), tmp_path / 'p.csv'
    scores = draw.integers(0, 4, (60, 40)) / 4
    labels = draw.integers(0, 40, 60)
    right = scores[range(60), labels] == scores.max(1)
    samples = [sample(int(label), row.tolist(), filename='v.mp4')
               for label, row in zip(labels, scores)]
    evaluate(PredictionsFile(str(path)), samples)
    file = read_predictions(path)
    top1 = (file.labels == file.predicted).mean()
    assert 0 < top1 < right.mean()
    assert evaluate(VideoAccMetric(), samples)['acc/top1'] == top1


def test_no_warning_of_a_prefix(capsys):
    PredictionsFile('p.csv')
    said = capsys.readouterr()
    assert 'prefix' not in said.out + said.err


def test_memory_does_not_grow_with_classes():
    metric = VideoAccMetric()
    metric.process(None, [sample(3, torch.rand(100_000)).to_dict()])
    assert len(pickle.dumps(metric.results)) < 1000


@pytest.mark.parametrize('metric, label, scores, error, said', [
    (VideoAccMetric(), -1, SCORES[0], ValueError, 'a.mp4'),
    (VideoAccMetric(), 0, [float('nan'), 0., 0.], UserError, 'a.mp4'),
    (PredictionsFile('p.csv'), 0, None, ValueError, '--predictions')])
def test_samples_that_have_no_accuracy(metric, label, scores, error, said):
    with pytest.raises(error, match=said):
        evaluate(metric, [sample(label, scores, filename='a.mp4')])


def test_predictions_written_and_read(tmp_path):
    path = tmp_path / 'new' / 'p.csv'
    assert evaluate(PredictionsFile(str(path)), [
        sample(1, [.1, .7, .2], filename='a, b.mp4'),
        sample(0, [.1, .7, .2], filename='c.mp4', bad_video=True),
        sample(-1, [.5, .3, .2], filename='d.mp4'),
        sample(torch.tensor([0, 1, 1]), torch.tensor(
            [.25, .5, .25], dtype=torch.bfloat16), filename='e.mp4'),
    ], classes=['x', 'y "z"', 'w']) == {}  # it measures nothing
    videos, labels, predicted, *_ = read_predictions(path)
    assert videos == ['a, b.mp4', 'c.mp4', 'd.mp4', 'e.mp4']
    assert labels.tolist() == [1, 0, -1, -1]
    # a video that could not be read is right in no class
    assert predicted.tolist() == [1, -1, 0, 1]
    assert path.read_text().splitlines()[1:] == [
        '"a, b.mp4",1,1,0.7,"y ""z""","y ""z"""', 'c.mp4,0,-1,,x,',
        'd.mp4,-1,0,0.5,,x', 'e.mp4,-1,1,0.5,,"y ""z"""']


def test_predictions_of_a_spreadsheet(tmp_path):
    path = tmp_path / 'p.csv'
    path.write_text('\ufeff' + HEAD.replace('\n', '\r\n')
                    + 'a.mp4,1,0,0.5,,\r\n')
    videos, labels, predicted, *_ = read_predictions(path)
    assert (videos, *labels, *predicted) == (['a.mp4'], 1, 0)


@pytest.mark.parametrize('content', [
    '', 'video,label\na,1\n', HEAD + 'a.mp4,1\n', HEAD + 'a.mp4,one,1,,,\n',
    HEAD + '"a.mp4,1,1,,,\n', '\xff\xfe\x00'])
def test_files_that_are_no_predictions(tmp_path, content):
    (tmp_path / 'p.csv').write_text(content, 'latin1')
    with pytest.raises(ValueError, match='p.csv'):
        read_predictions(tmp_path / 'p.csv')


def test_each_set_and_the_groups_mean_and_spread():
    values = [0.50, 0.52, 0.57]
    splits = {f'hmdb51_{i}': {'acc/top1': value, 'acc/top5': 0.9}
              for i, value in enumerate(values, 1)}
    splits['hmdb51_1']['num_bad'] = 2.  # which has no mean
    assert summarise_sets(splits, dict(hmdb51=list(splits))) == {
        **{f'{name}/{key}': value for name, metrics in splits.items()
           for key, value in metrics.items()},
        'hmdb51/acc/top1_mean': pytest.approx(np.mean(values)),
        'hmdb51/acc/top1_std': pytest.approx(np.std(values, ddof=1)),
        'hmdb51/acc/top5_mean': pytest.approx(0.9), 'hmdb51/acc/top5_std': 0}


def test_harmonic_mean_is_the_papers():
    # HMDB-51, ViFi-CLIP (paper Table 2): 73.8 and 53.3 give 61.9
    for base, novel, mean in (.738, .533, .619), (0., 0., 0.):
        metrics = dict(base={'acc/top1': base}, novel={'acc/top1': novel})
        values = summarise_sets(metrics, {}, ('base', 'novel'))
        assert values['HM/acc/top1'] == pytest.approx(mean, abs=5e-4)


def test_a_record_holds_metrics_of_any_shape():
    """MMAction2's ConfusionMatrix returns a tensor."""
    cfg = Config(dict(model={}, test_dataloader={}), cfg_text='#',
                 filename='test_a.py')
    made = record(cfg, parse_args(['a.py', 'none']), {
        'acc/top1': 0.5, 'matrix': torch.tensor([[1, 2], [3, 4]])})
    assert made['config'] == 'a.py'
    assert json.loads(json.dumps(made))['metrics'] == {
        'acc/top1': 0.5, 'matrix': [[1, 2], [3, 4]]}
