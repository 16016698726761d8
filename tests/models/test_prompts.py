"""Deep prompts against the release's model as written in release_file."""
import pytest
import release_file
import torch
from mmaction.registry import MODELS
from open_clip.tokenizer import SimpleTokenizer
from tiny import build_classifier, model_cfg, tiny_arch

from projects.vifi_clip.checkpoints.layouts import (TOKENS, read_layout,
                                                    write_vifi)


@pytest.mark.parametrize('grad_checkpointing', [False, True])
@pytest.mark.parametrize('length, depth, most', [
    (4, 1, None), (5, 2, 16384), (7, 3, 30)])
def test_both_towers_equal_the_release(length, depth, most,
                                       grad_checkpointing):
    """In all gradients, too, and where texts are encoded in pieces."""
    tokens = 0.3 * torch.randn(49408, 64)
    reference = release_file.ReleaseModel(tokens, length, depth, depth)
    weights = read_layout(reference.state_dict(), 'release', '').weights
    weights[TOKENS] = tokens
    cfg = model_cfg(prompts=dict(length=length, depth=depth))
    classifier = cfg['cls_head']['text_classifier']
    classifier.update(class_names=release_file.NAMES, max_graph_tokens=most)
    for part in cfg['backbone'], classifier:
        part.update(arch=release_file.ARCH,
                    grad_checkpointing=grad_checkpointing)
    model = MODELS.build(cfg).train().requires_grad_(True)
    model.load_state_dict(write_vifi(weights).weights)
    video = torch.randn(2, 2, 3, 32, 32)
    logits = model.cls_head(model.backbone(video.flatten(0, 1)))
    expected = reference(video)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)

    def gradients(module, scores, layout):
        scores.log_softmax(-1)[:, 0].sum().backward()
        return read_layout({n: p.grad for n, p in module.named_parameters()
                            if p.grad is not None}, layout, '').weights

    ours = gradients(model, logits, 'vifi')
    theirs = gradients(reference, expected, 'release')
    assert ours.keys() == {*theirs, TOKENS}
    for name, grad in theirs.items():
        torch.testing.assert_close(
            ours[name], grad, atol=1e-4 * float(grad.abs().max()) + 1e-6,
            rtol=1e-3, msg=name)
    for name in 'prompts.visual', 'prompts.text':  # every layer's own
        assert theirs[name].abs().flatten(1).sum(1).min() > 0


def test_init_from_words_and_at_random():
    classifier = build_classifier(
        prompts=dict(length=4, depth=2, init='a photo of a'))
    ids = SimpleTokenizer().encode('a photo of a')
    words = classifier.text.token_embedding.weight[ids]
    assert torch.equal(classifier.prompts.tokens[0], words)
    # The class text then reads as the hand-written prompt.
    assert torch.equal(
        classifier.tokens[0, :8],
        SimpleTokenizer()('a photo of a archery.')[0, :8])
    longer = build_classifier(
        prompts=dict(length=8, depth=2, init='a photo of a'))
    tokens = longer.prompts.tokens.detach()
    assert 0.01 < tokens[0].std() < 0.03 and tokens.mean().abs() < 0.01


@pytest.mark.parametrize('prompts, match', [
    (dict(length=0, depth=1), 'length'), (dict(length=2, depth=3), 'depth'),
    (dict(length=2), 'depth'), (dict(length=2, deep=1, depth=1), 'deep')])
def test_bad_prompt_settings(prompts, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='VLDeepPromptBackbone', arch=tiny_arch(),
                          prompts=prompts))
    with pytest.raises(ValueError, match=match):
        build_classifier(prompts=prompts)
