"""A line for each tested video, written and read."""
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator

from projects.vifi_clip.evaluation import PredictionsFile
from projects.vifi_clip.evaluation.predictions_file import (COLUMNS,
                                                            read_predictions)

HEAD = ','.join(COLUMNS) + '\n'


def _sample(label, scores, **info):
    sample = ActionDataSample().set_gt_label(label)
    if scores is not None:
        sample.set_pred_score(torch.as_tensor(scores))
    sample.set_metainfo(info)
    return sample


def _write(path, samples, classes=None):
    evaluator = Evaluator(PredictionsFile(str(path)))
    evaluator.dataset_meta = dict(classes=classes) if classes else {}
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_written_and_read(tmp_path):
    path = tmp_path / 'new' / 'p.csv'
    metrics = _write(path, [
        _sample(1, [.1, .7, .2], filename='a, b.mp4'),
        _sample(0, [.1, .7, .2], filename='c.mp4', bad_video=True),
        _sample(-1, [.5, .3, .2], filename='d.mp4')], ['x', 'y "z"', 'w'])
    assert metrics == {}  # it measures nothing
    videos, labels, predicted = read_predictions(path)
    assert videos == ['a, b.mp4', 'c.mp4', 'd.mp4']
    assert labels.tolist() == [1, 0, -1]
    # a video that could not be read is right in no class
    assert predicted.tolist() == [1, -1, 0]
    lines = path.read_text().splitlines()
    assert lines[1] == '"a, b.mp4",1,1,0.7,"y ""z""","y ""z"""'
    assert lines[2] == 'c.mp4,0,-1,,x,'
    assert lines[3] == 'd.mp4,-1,0,0.5,,x'


def test_several_labels_or_no_names(tmp_path):
    path = tmp_path / 'p.csv'
    _write(path, [_sample(torch.tensor([0, 1, 1]), [.1, .2, .7])])
    assert read_predictions(path)[1].tolist() == [-1]
    assert path.read_text().splitlines()[1] == ',-1,2,0.7,,'


def test_no_videos(tmp_path):
    (tmp_path / 'p.csv').write_text(HEAD)
    assert [len(part) for part in read_predictions(tmp_path / 'p.csv')] == [
        0, 0, 0]


def test_saved_by_a_spreadsheet(tmp_path):
    (tmp_path / 'p.csv').write_text('\ufeff' + HEAD.replace('\n', '\r\n')
                                    + 'a.mp4,1,0,0.5,,\r\n')
    videos, labels, predicted = read_predictions(tmp_path / 'p.csv')
    assert (videos, *labels, *predicted) == (['a.mp4'], 1, 0)


def test_half_precision(tmp_path):
    _write(tmp_path / 'p.csv', [
        _sample(0, torch.tensor([.25, .75], dtype=torch.bfloat16))])
    assert read_predictions(tmp_path / 'p.csv')[2].tolist() == [1]


def test_a_model_without_classes(tmp_path):
    with pytest.raises(ValueError, match='--predictions'):
        _write(tmp_path / 'p.csv', [_sample(0, None)])


@pytest.mark.parametrize('text', [
    '', 'video,label\na,1\n', HEAD + 'a.mp4,1\n', HEAD + 'a.mp4,one,1,,,\n'])
def test_not_such_a_file(tmp_path, text):
    (tmp_path / 'p.csv').write_text(text)
    with pytest.raises(ValueError, match='p.csv'):
        read_predictions(tmp_path / 'p.csv')


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / 'p.csv').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='p.csv'):
        read_predictions(tmp_path / 'p.csv')
