"""The head against formulas written out here."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import classifier_cfg, samples

B, T, K, D = 3, 4, 4, 32


def build_head(num_frames=T, in_channels=D, **kwargs):
    cfg = dict(type='TemporalMeanPoolHead', in_channels=in_channels,
               num_frames=num_frames, text_classifier=classifier_cfg())
    head = MODELS.build({**cfg, **kwargs})
    head.init_weights()
    return head


def cosine_logits(head, x):
    """[..., D] against the class embeddings, cosine by definition."""
    classes = head.text_classifier()
    scale = torch.exp(head.logit_scale)
    return torch.stack([
        scale * F.cosine_similarity(x, row.expand_as(x), dim=-1)
        for row in classes], dim=-1)


@pytest.mark.parametrize('fusion', ['embedding', 'decision', 'image'])
def test_fusion(fusion):
    head, x = build_head(fusion=fusion), torch.randn(B * T, D)
    frames = x.view(B, T, D)
    expected = (cosine_logits(head, frames.mean(1)) if fusion == 'embedding'
                else cosine_logits(head, frames).mean(1))
    torch.testing.assert_close(head(x), expected, atol=1e-4, rtol=0)
    # CLIP's start temperature
    torch.testing.assert_close(head.logit_scale.exp(), torch.tensor(1 / 0.07))


def test_image_fusion_trains_every_frame_as_a_sample():
    head, x = build_head(fusion='image'), torch.randn(B * T, D)
    expected = F.cross_entropy(
        cosine_logits(head, x), torch.tensor([0, 3, 1]).repeat_interleave(T))
    loss = head.loss(x, samples([[0], [3], [1]]))
    torch.testing.assert_close(loss['loss_cls'], expected)


def test_feature_maps_are_pooled_and_projected():
    """Those of a video [B, C, T, H, W] bring their own time."""
    head = build_head(in_channels=7, num_frames=99)
    x = torch.randn(B, 7, 2, 3, 5)
    steps = x.mean((3, 4)).transpose(1, 2) @ head.projection.weight.T
    expected = cosine_logits(head, steps.mean(1))
    torch.testing.assert_close(head(x), expected, atol=1e-4, rtol=0)
    head.num_frames = 2
    torch.testing.assert_close(head(x.transpose(1, 2).flatten(0, 1)),
                               expected, atol=1e-4, rtol=0)


def test_label_kinds_and_soft_labels_of_mixup():
    head, x = build_head(label_smooth_eps=0.1), torch.randn(B * T, D)
    index = torch.tensor([2, 0, 3])
    one_hot = F.one_hot(index, K)
    logits = cosine_logits(head, x.view(B, T, D).mean(1))
    expected = F.cross_entropy(logits, index, label_smoothing=0.1)
    for labels in (index[:, None], one_hot, one_hot.float()):
        loss = head.loss(x, samples(labels))['loss_cls']
        torch.testing.assert_close(loss, expected)
    soft = torch.rand(B, K).softmax(-1)
    expected = F.cross_entropy(logits, soft, label_smoothing=0.1)
    loss = head.loss(x, samples(soft))
    torch.testing.assert_close(loss['loss_cls'], expected)
    assert 'top1_acc' not in loss


@pytest.mark.parametrize('setting, shape, num_segs, said', [
    (dict(fusion='mean'), (), None, 'fusion'),
    (dict(num_frames=0), (), None, 'num_frames'),
    ({}, (6, D), None, 'num_frames=4'), ({}, (12, D), 6, 'num_frames=4'),
    ({}, (4, D, 2), None, r'\(4, 32, 2\)')])
def test_bad_settings_and_shapes(setting, shape, num_segs, said):
    with pytest.raises(ValueError, match=said):
        build_head(**setting)(torch.randn(shape), num_segs=num_segs)


@pytest.mark.parametrize('loss, labels, said', [
    ('CrossEntropyLoss', [0., 1., 0.], 'num_classes'),
    ('CLIPContrastiveLoss', [.5, .5, 0., 0.], 'blending')])
def test_labels_that_do_not_fit(loss, labels, said):
    with pytest.raises(ValueError, match=said):
        build_head(loss_cls=dict(type=loss)).loss(
            torch.randn(4, D), samples([labels]))


def test_in_batch_loss_follows_the_fusion():
    """Rows are views, whose texts are those of their labels."""
    for fusion in 'embedding', 'decision':
        head = build_head(fusion=fusion,
                          loss_cls=dict(type='CLIPContrastiveLoss'))
        x = torch.randn(2 * T, D)
        logits = head(x)[:, [2, 0]]
        labels = torch.arange(2)
        expected = (F.cross_entropy(logits, labels) +
                    F.cross_entropy(logits.T, labels)) / 2
        loss = head.loss(x, samples([[2], [0]]))['loss_cls']
        torch.testing.assert_close(loss, expected)


def test_trained_texts_follow_autocast_and_kept_ones_do_not():
    x, head, dtypes = torch.randn(B * T, D), build_head(), []
    block = head.text_classifier.text.transformer.resblocks[0]
    block.mlp.c_fc.register_forward_hook(
        lambda module, args, output: dtypes.append(output.dtype))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits = head(x)
        assert logits.dtype is torch.float32
        with torch.no_grad():
            head(x)
        head.text_classifier.requires_grad_(False)
        head.text_classifier.train()
        head(x)
    assert dtypes == [torch.bfloat16, torch.float32]
