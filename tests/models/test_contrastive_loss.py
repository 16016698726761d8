"""In-batch loss against OpenCLIP's and formulas."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.loss import ClipLoss
from tiny import build_model, samples

SCALE = torch.tensor(12.0)


def _pairs(seed=0, num=8):
    generator = torch.Generator().manual_seed(seed)
    video, text = (F.normalize(torch.randn(num, 16, generator=generator),
                               dim=-1) for _ in range(2))
    return video.requires_grad_(), text.requires_grad_()


def build_loss(**kwargs):
    return MODELS.build(dict(type='CLIPContrastiveLoss', **kwargs))


def test_distinct_labels_equal_openclip():
    video, text = _pairs()
    expected = ClipLoss()(video, text, SCALE)
    for labels in (None, torch.randperm(8)):
        torch.testing.assert_close(
            build_loss()(video, text, SCALE, labels), expected)
    torch.testing.assert_close(
        build_loss(loss_weight=0.5)(video, text, SCALE), expected / 2)


def test_repeated_labels_share_the_target():
    video, text = _pairs(num=4)
    labels = torch.tensor([5, 2, 5, 5])
    logits = SCALE * video @ text.T
    total = 0.
    for scores in (logits, logits.T):
        log_prob = scores.log_softmax(-1)
        for row in range(4):
            positives = [c for c in range(4) if labels[c] == labels[row]]
            total -= sum(log_prob[row, c] for c in positives) / len(positives)
    torch.testing.assert_close(
        build_loss()(video, text, SCALE, labels), total / 8)


def test_mixed_labels_are_refused():
    model = build_model(head=dict(loss_cls=dict(type='CLIPContrastiveLoss')))
    with pytest.raises(ValueError, match='index labels'):
        model.loss(torch.randn(1, 2, 3, 32, 32), samples([[0.5, 0.5, 0., 0.]]))
