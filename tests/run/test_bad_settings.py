"""Settings and files that are wrong in ways a user can mend."""
import shutil

import pytest
import torch
from mmaction.registry import METRICS, MODELS
from mmengine.config import Config
from tiny import (NAMES, build_classifier, classifier_cfg, samples,
                  tiny_arch)
from tools_world import REPO, write_world

from projects.vifi_clip.datasets import CheckedVideoDataset
from projects.vifi_clip.engine import ClassListHook
from projects.vifi_clip.errors import UserError


class _Runner:
    """What ClassListHook looks at."""

    def __init__(self, model_names, data_names):
        classifier = build_classifier(class_names=model_names)
        head = torch.nn.Module()
        head.text_classifier = classifier
        self.model = torch.nn.Module()
        self.model.cls_head = head
        dataset = type('Data', (), dict(class_names=data_names,
                                        ann_file='list.txt'))()
        loader = type('Loader', (), dict(dataset=dataset))()
        self.train_dataloader = self.test_dataloader = loader
        self.val_loop = None


@pytest.mark.parametrize('data_names, label', [
    (NAMES[::-1], 0), (NAMES[:2], 2), (NAMES + ['one more'], 4)])
def test_model_and_data_must_have_the_same_classes(data_names, label):
    runner = _Runner(NAMES, data_names)
    for check in ClassListHook().before_train, ClassListHook().before_test:
        with pytest.raises(UserError, match=f'list.txt.*label {label}'):
            check(runner)


def test_equal_or_unknown_classes_pass():
    ClassListHook().before_train(_Runner(NAMES, list(NAMES)))
    ClassListHook().before_train(_Runner(NAMES, None))


@pytest.mark.parametrize('names', ['zumba', 5, {'a': 1}])
def test_class_names_must_be_a_list(names):
    classifier = build_classifier()
    with pytest.raises(ValueError, match='class names'):
        classifier.set_classes(names)
    assert classifier.class_names == NAMES


def test_spaces_around_names_are_dropped():
    classifier = build_classifier()
    classifier.set_classes([' a', 'b '])
    assert classifier.class_names == ['a', 'b']


def _dataset(root, text, encoding):
    shutil.rmtree(root, ignore_errors=True)
    write_world(root)
    (root / 'train.txt').write_bytes(text.encode(encoding))
    return CheckedVideoDataset(
        'train.txt', [], data_root=str(root), data_prefix=dict(video='videos'))


def test_list_with_a_byte_order_mark(tmp_path):
    dataset = _dataset(tmp_path / 'w', 'train_0.mp4 0\r\n', 'utf-8-sig')
    assert dataset.get_data_info(0)['filename'].endswith('videos/train_0.mp4')


def test_list_in_another_encoding_is_named(tmp_path):
    with pytest.raises(ValueError, match='train.txt: not UTF-8'):
        _dataset(tmp_path / 'w', 'trän.mp4 0\n', 'latin-1')


@pytest.mark.parametrize('prompts', [5, [1, 2], True])
def test_prompts_must_be_a_dict(prompts):
    with pytest.raises(ValueError, match='prompts'):
        build_classifier(prompts=prompts)


def test_prompt_length_is_no_truth_value():
    with pytest.raises(ValueError, match='length'):
        build_classifier(prompts=dict(length=True, depth=1))


def test_unusable_pretrained_files(tmp_path):
    def build(pretrained):
        MODELS.build(dict(type='CLIPVisionBackbone', arch=tiny_arch(),
                          pretrained=pretrained))

    torch.save(torch.zeros(3), tmp_path / 'tensor.pt')
    with pytest.raises(ValueError, match='tensor.pt'):
        build(str(tmp_path / 'tensor.pt'))
    torch.save({1: torch.zeros(3)}, tmp_path / 'keys.pt')
    with pytest.raises(ValueError, match='keys.pt'):
        build(str(tmp_path / 'keys.pt'))
    with pytest.raises(ValueError, match=str(tmp_path)):
        build(str(tmp_path))
    with pytest.raises(ValueError, match='3'):
        build(3)


@pytest.mark.parametrize('text', [None, '{"embed_dim": 32,'])
def test_arch_file_that_cannot_be_read(tmp_path, text):
    path = tmp_path / 'arch.json'
    if text:
        path.write_text(text)
    with pytest.raises(ValueError, match='arch.json'):
        MODELS.build(dict(type='CLIPVisionBackbone', arch=str(path)))


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


def test_class_file_knob(monkeypatch):
    monkeypatch.setenv('CLASS_FILE', '/my/classes.txt')
    cfg = Config.fromfile(REPO / 'configs/vifi_k400.py')
    assert cfg.model.cls_head.text_classifier.class_file == '/my/classes.txt'
    for name in 'train', 'val', 'test':
        loader = cfg[f'{name}_dataloader']
        assert loader.dataset.class_file == '/my/classes.txt'
