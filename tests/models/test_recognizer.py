"""The recognizer: repeated frames are encoded once, and nothing changes; the
head against formulas written out here; what trains, is saved, and loads."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from tiny import build_model, classifier_cfg, model_cfg, samples, tiny_arch

from projects.vifi_clip.models.image_backbone import unique_frames


def _backbone(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(
        dict(type='CLIPVisionBackbone', arch=tiny_arch()), **kwargs))


def _count(backbone):
    """Frames of each pass through the tower (a hook would be respected)."""
    counts, embed = [], backbone.embed_chunk
    backbone.embed_chunk = lambda x: counts.append(len(x)) or embed(x)
    return counts


def test_repeats_anywhere_and_one_pixel_that_differs():
    a, b, c = torch.randn(3, 3, 40, 40)
    near = a.clone()
    near[2, 39, 38] += 1e-6  # in none of the sampled places
    x = torch.stack([a, b, a, c, b, a, near, near])
    frames, rows = unique_frames(x)
    # the last two are alike, but not like their group's first
    assert len(frames) == 5 and torch.equal(frames[rows], x)
    x = torch.zeros(2, 3, 40, 40)
    x[1, 0, 0, 0] = float('nan')
    frames, rows = unique_frames(x)
    assert frames is x and rows is None


@pytest.mark.parametrize('prompts', [None, dict(length=2, depth=2)])
def test_gradients_of_repeated_frames_add_up(prompts):
    kwargs = dict(type='VLDeepPromptBackbone', prompts=prompts)
    ours, plain = _backbone(**kwargs), _backbone(**kwargs, reuse_frames=False)
    plain.load_state_dict(ours.state_dict())
    counts = _count(ours)
    x = torch.randn(2, 3, 32, 32)[[0, 0, 1, 0]]
    weight = torch.randn(4, 32)
    (ours(x) * weight).sum().backward()
    (plain(x) * weight).sum().backward()
    assert counts == [2]
    torch.testing.assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)
    for a, b in zip(ours.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('vision_cfg', [
    dict(patch_dropout=0.5),  # chance
    dict(layers=(1, 1, 1, 1), width=8)])  # batch norm sees the whole batch
def test_not_where_frames_depend_on_each_other_or_on_chance(vision_cfg):
    backbone = _backbone(arch=tiny_arch(vision_cfg=vision_cfg))
    counts, x = _count(backbone), torch.ones(4, 3, 32, 32)
    backbone.train()(x)
    backbone.eval()(x)
    assert counts == [4, 1]


def test_many_frames_are_embedded_in_parts_without_gradient():
    backbone, x = _backbone().eval(), torch.randn(37, 3, 32, 32)
    counts = _count(backbone)
    with torch.no_grad():
        parts = backbone(x)
    torch.testing.assert_close(parts, backbone(x), atol=1e-5, rtol=1e-5)
    # A hook sees all at once: FSDP's count the calls in all processes.
    backbone.visual.transformer.resblocks[-1].register_forward_hook(
        lambda module, args, output: counts.append(output.shape[1]))
    with torch.no_grad():
        backbone(x)
    # And every token of the last block, of which one would be enough.
    assert counts == [16, 16, 5, 37, 37, 17]


def test_gradients_of_pixels_are_each_frames_own():
    backbone = _backbone().eval()
    x = torch.zeros(4, 3, 32, 32, requires_grad=True)
    backbone(x)[:, 0].sum().backward()
    norms = x.grad.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, norms[:1].expand(4))
    assert norms[0] > 0


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


PROMPTS = dict(length=2, depth=2)
IMAGE, TEXT = 'backbone.visual.', 'cls_head.text_classifier.text.'
TOKENS = f'{TEXT}token_embedding.weight'


def trained(model) -> set:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def names(model, prefix) -> set:
    return {n for n, _ in model.named_parameters()
            if n.startswith(prefix) and n != TOKENS}


@pytest.mark.parametrize('prompts', [None, PROMPTS])
def test_exact_set_of_trained_parameters(prompts):
    def train(tune, **kwargs):
        model = build_model(prompts=prompts, tune=tune, **kwargs).train()
        if not kwargs:
            text = model.cls_head.text_classifier.text
            image = model.backbone.visual
            assert image.training == (tune in ('both', 'image'))
            assert text.training == (tune in ('both', 'text'))
        return trained(model)

    image, text = (names(build_model(), prefix) for prefix in (IMAGE, TEXT))
    assert len(image) == 32 and len(text) == 28
    scale = {'cls_head.logit_scale'}
    assert train('both') == image | text | scale
    assert train('image') == image
    assert train('text') == text
    assert train('none') == set()
    assert train('image', logit_scale=True) == image | scale
    assert train('both', logit_scale=False) == image | text
    assert train('both', train_token_embedding=True) == (
        image | text | scale | {TOKENS})
    assert train('image', train_token_embedding=True) == image
    if prompts:
        both = {'backbone.prompts.tokens',
                'cls_head.text_classifier.prompts.tokens'}
        assert train('prompts') == both
        assert train('prompts', logit_scale=True) == both | scale


def test_projection_trains_with_either_tower():
    cfg = model_cfg(tune='text')
    cfg['backbone']['arch'] = dict(tiny_arch(), embed_dim=48)
    cfg['cls_head']['in_channels'] = 48
    model = MODELS.build(cfg)
    assert trained(model) == names(model, TEXT) | {
        'cls_head.projection.weight'}


def test_save_trainable_only():
    kwargs = dict(prompts=PROMPTS, tune='prompts')
    full = build_model(**kwargs)
    small, other = (build_model(save_trainable_only=True, **kwargs)
                    for _ in range(2))
    assert set(small.state_dict()) == trained(small)
    other.load_state_dict(small.state_dict())  # strict
    torch.testing.assert_close(other.state_dict(), small.state_dict())
    # Through MMEngine's loader, and from a full checkpoint too.
    _load_checkpoint_to_model(other, dict(state_dict=full.state_dict()))
    torch.testing.assert_close(
        dict(other.named_parameters()), dict(full.named_parameters()))


def test_checkpoint_of_another_model_is_refused():
    cfg = model_cfg()
    cfg['backbone']['arch'] = tiny_arch(vision_cfg=dict(layers=3))
    deeper, model = MODELS.build(cfg).state_dict(), build_model()
    with pytest.raises(ValueError, match=r'resblocks\.2'):
        _load_checkpoint_to_model(model, deeper)
    # asked for leniency, given
    assert model.load_state_dict(deeper, strict=False).unexpected_keys
