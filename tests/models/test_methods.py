"""The places where methods plug in, each with a small one of our own."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import nn

from projects.vifi_clip.models.recognizer import embed_frames
from tiny import (NAMES, build_classifier, build_model, classifier_cfg,
                  samples)

T, K, D = 2, len(NAMES), 32


@pytest.fixture(autouse=True)
def own_parts():
    """A user's modules, registered as `custom_imports` would."""

    class Reverse(nn.Module):
        """The difference to the last frame, with a weight."""

        def __init__(self, embed_dim):
            super().__init__()
            self.weight = nn.Parameter(torch.full((embed_dim, ), 0.5))

        def forward(self, x):
            return x - self.weight * x[:, -1:]

    class AddTokens(nn.Module):
        """Class embeddings, and the sum of a video's tokens."""

        def __init__(self, embed_dim):
            super().__init__()

        def forward(self, classes, tokens):
            return classes + tokens.sum(-2)[..., None, :]

    class Ending(nn.Module):
        """Two learnt tokens behind the class."""
        before, behind, length, depth = 0, 2, 2, 1

        def __init__(self, width):
            super().__init__()
            self.tokens = nn.Parameter(torch.ones(2, width))

        def embed(self, x, ends):
            rows = torch.arange(len(x))
            x = x.clone()
            x[rows, ends - 2], x[rows, ends - 1] = self.tokens
            return x

        def replace(self, layer, x):
            return x

    names = [kind.__name__ for kind in (Reverse, AddTokens, Ending)]
    for kind in Reverse, AddTokens, Ending:
        MODELS.register_module(module=kind)
    yield
    for name in names:
        MODELS.module_dict.pop(name)


def test_a_temporal_module():
    """It trains, and views go through it one by one."""
    torch.manual_seed(0)
    model = build_model(head=dict(temporal=dict(type='Reverse')))
    head, x = model.cls_head, torch.randn(3, 2 * T, 3, 32, 32)
    frames = embed_frames(model, x)
    # [B, V, T, D]
    last = frames[:, :, -1:]
    expected = F.normalize((frames - 0.5 * last).mean(2), dim=-1)
    torch.testing.assert_close(head.fuse(frames), expected)
    torch.testing.assert_close(head.fuse(frames[0, 0]), expected[0, 0])
    losses = model.loss(x[:, :T].contiguous(), samples([[0], [1], [2]]))
    losses['loss_cls'].backward()
    assert head.temporal.weight.grad.abs().sum() > 0
    assert 'cls_head.temporal.weight' in model.state_dict()
    with pytest.raises(ValueError, match='FUSION'):
        build_model(head=dict(fusion='image', temporal=dict(type='Reverse')))


def test_a_temporal_module_of_another_shape(monkeypatch):
    head = build_model(head=dict(temporal=dict(type='Reverse'))).cls_head
    monkeypatch.setattr(head.temporal, 'forward', lambda x: x.mean(1))
    with pytest.raises(ValueError, match=r'Reverse .*\[4, 32\]'):
        head.fuse(torch.ones(4, T, D))


def test_classes_that_depend_on_the_video():
    head = build_model(head=dict(condition=dict(type='AddTokens'))).cls_head
    feats = torch.randn(3 * T, 5, D)  # each frame's embedding and 4 tokens
    with torch.no_grad():
        logits = head(feats)
        feats = feats.view(3, T, 5, D)
        video = F.normalize(feats[:, :, 0].mean(1), dim=-1)
        classes = head.text_classifier()
        for b in range(3):
            own = F.normalize(classes + feats[b, :, 1:].mean(0).sum(0), dim=-1)
            torch.testing.assert_close(
                logits[b], head.logit_scale.exp() * video[b] @ own.T)
        with pytest.raises(ValueError, match='features'):
            build_model().cls_head(feats.flatten(0, 1))


TEMPLATES = ['a {}', 'the {} of it', '{}']


def test_a_random_template_in_training():
    torch.manual_seed(0)
    plain = build_classifier(templates=TEMPLATES)
    drawn = build_classifier(templates=TEMPLATES, random_template=True)
    drawn.load_state_dict(plain.state_dict())
    torch.testing.assert_close(drawn(), plain())  # all, in a test
    single = torch.stack([plain.embed_texts(NAMES, t) for t in TEMPLATES])
    # [M, K, D]
    drawn.train()
    counts = np.zeros((len(TEMPLATES), K), int)
    labels = torch.tensor([2, 2, 0, 2])
    for _ in range(40):
        rows = [drawn().detach(), drawn(labels).detach()]
        for got, classes in zip(rows, (torch.arange(K), labels)):
            apart = (single[:, classes] - got).abs().amax(-1)
            # [M, rows]
            assert (apart.amin(0) < 1e-5).all()
            np.add.at(counts, (apart.argmin(0), classes), 1)
        drawn.class_accumulation.flush()
    assert (counts > 0).all()


def test_probabilities_are_averaged_over_templates():
    torch.manual_seed(0)
    head = build_model(head=dict(text_classifier=classifier_cfg(
        templates=TEMPLATES, average='prob'))).cls_head
    x = torch.randn(5 * T, D)
    with torch.no_grad():
        logits = head(x)
        video = head.fuse(head.frame_embeddings(x))
        expected = torch.stack([
            (head.logit_scale.exp() * video
             @ head.text_classifier.embed_texts(NAMES, t).T).softmax(-1)
            for t in TEMPLATES]).mean(0)
        torch.testing.assert_close(logits.softmax(-1), expected)
        assert head.text_classifier(torch.tensor([1, 3])).shape == (3, 2, D)


def test_prompts_anywhere():
    torch.manual_seed(0)
    text = build_classifier(prompts=dict(type='Ending'), templates='{}')
    plain = build_classifier(templates='{} X X')
    plain.load_state_dict(text.state_dict(), strict=False)
    with torch.no_grad():
        text.prompts.tokens.copy_(
            plain.text.token_embedding(torch.tensor([343, 343])))  # 'x'
        torch.testing.assert_close(text(), plain())
        text.prompts.tokens.add_(1)
        assert not torch.allclose(text(), plain())
    text.train()
    text().sum().backward()
    assert text.prompts.tokens.grad.abs().sum() > 0
