"""Settings and files that are wrong in ways a user can mend."""
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import METRICS, MODELS
from tiny import NAMES, build_classifier, classifier_cfg, samples, tiny_arch

from projects.vifi_clip.datasets import CheckedVideoDataset
from projects.vifi_clip.engine import ClassListHook
from projects.vifi_clip.errors import UserError


@pytest.mark.parametrize('data_names, label', [
    (NAMES[::-1], 0), (NAMES[:2], 2), (NAMES + ['one more'], 4),
    (list(NAMES), None), (None, None)])
def test_model_and_data_must_have_the_same_classes(data_names, label):
    runner = SimpleNamespace(
        model=torch.nn.Module(), val_loop=None,
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace(
            class_names=data_names, ann_file='list.txt')))
    runner.model.cls_head = torch.nn.Module()
    runner.model.cls_head.text_classifier = build_classifier()
    runner.test_dataloader = runner.train_dataloader
    for check in ClassListHook().before_train, ClassListHook().before_test:
        if label is None:
            check(runner)
            continue
        with pytest.raises(UserError, match=f'list.txt.*label {label}'):
            check(runner)


def test_class_names_must_be_a_list():
    classifier = build_classifier()
    for names in 'zumba', 5, {'a': 1}:
        with pytest.raises(ValueError, match='class names'):
            classifier.set_classes(names)
    assert classifier.class_names == NAMES
    classifier.set_classes([' a', 'b '])
    assert classifier.class_names == ['a', 'b']


def test_encodings_of_lists(shared_world, tmp_path):
    def dataset(content) -> CheckedVideoDataset:
        (tmp_path / 'train.txt').write_bytes(content)
        return CheckedVideoDataset(
            str(tmp_path / 'train.txt'), [],
            data_prefix=dict(video=str(shared_world / 'videos')))

    marked = dataset('train_0.mp4 0\r\n'.encode('utf-8-sig'))
    assert marked.get_data_info(0)['filename'].endswith('videos/train_0.mp4')
    with pytest.raises(ValueError, match='train.txt: not UTF-8'):
        dataset('trän.mp4 0\n'.encode('latin-1'))


@pytest.mark.parametrize('prompts', [5, [1, 2], True,
                                     dict(length=True, depth=1)])
def test_prompts_must_be_a_dict_of_numbers(prompts):
    with pytest.raises(ValueError, match='prompts|length'):
        build_classifier(prompts=prompts)


def test_files_that_cannot_be_used(tmp_path):
    tensor, keys, cut = (str(tmp_path / n) for n in (
        'tensor.pt', 'keys.pt', 'cut.json'))
    torch.save(torch.zeros(3), tensor)
    torch.save({1: torch.zeros(3)}, keys)
    Path(cut).write_text('{"embed_dim": 32,')
    for name, value in [*(('pretrained', value) for value in (
            tensor, keys, str(tmp_path), 3)), ('arch', 'gone.json'),
            ('arch', cut)]:
        with pytest.raises((ValueError, OSError), match=str(value)):
            MODELS.build({**dict(type='CLIPVisionBackbone',
                                 arch=tiny_arch()), name: value})


def test_list_without_labels_has_no_accuracy():
    metric = METRICS.build(dict(type='VideoAccMetric'))
    sample = dict(pred_score=torch.tensor([0.9, 0.1]),
                  gt_label=torch.tensor([-1]), filename='a.mp4')
    with pytest.raises(ValueError, match='a.mp4'):
        metric.process(None, [sample])


def test_blending_of_another_class_count_names_the_remedy():
    head = MODELS.build(dict(
        type='TemporalMeanPoolHead', in_channels=32, num_frames=1,
        text_classifier=classifier_cfg()))
    with pytest.raises(ValueError, match='blending'):
        head.loss(torch.randn(2, 32), samples(torch.eye(9)[:2]))
