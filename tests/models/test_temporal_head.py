"""The head against formulas written out here."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import classifier_cfg, samples

B, T, D = 3, 4, 32


def build_head(**kwargs):
    return MODELS.build({**dict(
        type='TemporalMeanPoolHead', in_channels=D, num_frames=T,
        text_classifier=classifier_cfg()), **kwargs})


def cosine_logits(head, x):
    """[..., D] against the class embeddings, cosine by definition."""
    return torch.stack([
        head.logit_scale.exp() * F.cosine_similarity(x, row.expand_as(x), -1)
        for row in head.text_classifier()], dim=-1)


@pytest.mark.parametrize('fusion', ['embedding', 'decision', 'image'])
def test_fusion(fusion):
    head, x = build_head(fusion=fusion), torch.randn(B * T, D)
    frames, labels = x.view(B, T, D), torch.tensor([0, 3, 1])
    logits = expected = (
        cosine_logits(head, frames.mean(1)) if fusion == 'embedding'
        else cosine_logits(head, frames).mean(1))
    torch.testing.assert_close(head(x), expected, atol=1e-4, rtol=0)
    # CLIP's start temperature
    torch.testing.assert_close(head.logit_scale.exp(), torch.tensor(1 / 0.07))
    if fusion == 'image':  # trains every frame as a sample
        logits, labels = cosine_logits(head, x), labels.repeat_interleave(T)
    torch.testing.assert_close(
        head.loss(x, samples([[0], [3], [1]]))['loss_cls'],
        F.cross_entropy(logits, labels))


IN_BATCH = dict(loss_cls=dict(type='CLIPContrastiveLoss'))


@pytest.mark.parametrize('setting, shape, labels, said', [
    (dict(fusion='mean'), (), [0], 'fusion'),
    (dict(num_frames=0), (), [0], 'num_frames'),
    ({}, (6, D), [0], 'num_frames=4'), ({}, (4, D, 2), [0], r'\(4, 32, 2\)'),
    ({}, (4, D), [0., 1., 0.], 'num_classes'),
    (IN_BATCH, (4, D), [.5, .5, 0., 0.], 'blending')])
def test_what_does_not_fit(setting, shape, labels, said):
    with pytest.raises(ValueError, match=said):
        build_head(**setting).loss(torch.randn(shape), samples([labels]))
    with pytest.raises(ValueError, match='num_frames=4'):
        build_head()(torch.randn(12, D), num_segs=6)


def test_in_batch_loss_follows_the_fusion():
    """Rows are views, whose texts are those of their labels."""
    for fusion in 'embedding', 'decision':
        head = build_head(fusion=fusion, **IN_BATCH)
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
