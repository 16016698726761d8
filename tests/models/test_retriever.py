"""Embeddings, loss and what trains, against OpenCLIP's own model."""
import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from open_clip.loss import ClipLoss
from tiny import build_model, model_cfg, samples, tiny_arch

from projects.vifi_clip.checkpoints.layouts import read_layout

CAPTIONS = ['a man cooks', 'two dogs run after a red ball in the snow',
            'a car', 'someone plays the guitar']
TOKENS = 'cls_head.text_classifier.text.token_embedding.weight'


def build(text=(), **head):
    pixels = dict(type='ActionDataPreprocessor')
    cfg = model_cfg(
        head=head, type='ViFiCLIPRetriever', data_preprocessor=dict(
            type='MultiModalDataPreprocessor',
            preprocessors=dict(imgs=pixels, text=pixels)))
    classifier = cfg['cls_head']['text_classifier']
    del classifier['class_names']
    classifier.update(text)
    return MODELS.build(cfg)


def batch(num_frames=2, captions=CAPTIONS, length=24) -> dict:
    return dict(
        imgs=torch.randn(len(captions), num_frames, 3, 32, 32),
        text=open_clip.tokenize(captions, context_length=length))


def openclip_embeddings(model, inputs) -> tuple:
    """By OpenCLIP's model with the same weights."""
    clip = open_clip.CustomTextCLIP(**tiny_arch()).eval()
    clip.load_state_dict(read_layout(model.state_dict(), 'vifi', '').weights)
    frames = torch.stack([clip.encode_image(v) for v in inputs['imgs']])
    return (F.normalize(frames.mean(1), dim=-1),
            clip.encode_text(inputs['text'], normalize=True))


def contrastive(video, text, scale, ids) -> torch.Tensor:
    """Row by row: the mean log probability of all of a row's positives."""
    loss = 0.
    for rows, columns in (video, text), (text, video):
        for i, row in enumerate(rows):
            logs = (scale * columns @ row).log_softmax(0)
            right = [j for j in range(len(ids)) if ids[j] == ids[i]]
            loss -= logs[right].mean() / len(rows) / 2
    return loss


@torch.no_grad()
def test_embeddings_are_openclips():
    model, inputs = build().eval(), batch()
    embeddings = model(inputs, mode='tensor')
    torch.testing.assert_close(
        embeddings, openclip_embeddings(model, inputs), atol=1e-5, rtol=0)
    out = model(inputs, [ActionDataSample() for _ in CAPTIONS], mode='predict')
    for video, text, sample in zip(*embeddings, out):
        assert torch.equal(sample.features.video_feature, video)
        assert torch.equal(sample.features.text_feature, text)


def test_loss_of_distinct_labels_equals_openclips():
    video, text = F.normalize(torch.randn(2, 8, 16), dim=-1)
    scale = torch.tensor(12.0)
    expected = ClipLoss()(video, text, scale)
    for labels, weight in (None, 1.), (torch.randperm(8), .5):
        loss = MODELS.build(dict(type='CLIPContrastiveLoss',
                                 loss_weight=weight))
        torch.testing.assert_close(
            loss(video, text, scale, labels), expected * weight)


@pytest.mark.parametrize('ids', [[7, 2**62, 7, 7], None])
def test_loss_and_its_gradient(ids):
    model, inputs = build().train(), batch()
    data_samples = samples(
        [[label] for label in ids]) if ids else [ActionDataSample()] * 4
    loss, _ = model.parse_losses(model(inputs, data_samples, mode='loss'))
    leaves = [x.requires_grad_() for x in openclip_embeddings(model, inputs)]
    scale = model.cls_head.logit_scale.detach().clone().requires_grad_()
    expected = contrastive(*leaves, scale.exp(), ids or [0, 1, 2, 3])
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    expected_grad, = torch.autograd.grad(expected, scale)
    torch.testing.assert_close(model.cls_head.logit_scale.grad,
                               expected_grad, atol=1e-5, rtol=1e-4)
    for name, param in model.named_parameters():
        if name == TOKENS:
            assert param.grad is None
        else:
            assert param.grad.abs().sum() > 0, name


def test_checkpoints_go_both_ways():
    recognizer, retriever = build_model(), build()
    retriever.load_state_dict(recognizer.state_dict())  # strict
    recognizer.load_state_dict(retriever.state_dict())


@pytest.mark.parametrize('changes, size, said', [
    (dict(loss_cls=dict(type='CrossEntropyLoss')), {}, 'loss_cls'),
    (dict(fusion='decision'), {}, 'fusion'),
    (dict(text=dict(prompts=dict(length=2, depth=1))), {}, 'prompts'),
    ({}, dict(num_frames=6), '6'), ({}, dict(length=77), '77')])
def test_settings_and_inputs_that_do_not_fit(changes, size, said):
    with pytest.raises(ValueError, match=said):
        build(**changes)(batch(**size), mode='tensor')
