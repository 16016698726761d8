"""Token merging against loops written from the paper's description."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import tiny_arch

from projects.vifi_clip.models.inference_tower import InferenceTower
from projects.vifi_clip.models.token_merging import (match_tokens,
                                                     merge_patches,
                                                     merge_tokens)


def naive_merge(x, keys, sizes, r):
    """One frame: [P, W], [P, d], [P] to lists of tokens and sizes."""
    a, b = list(range(0, len(x), 2)), list(range(1, len(x), 2))
    edges = []
    for i in a:
        scores = [
            float(keys[i] @ keys[j] / keys[i].norm() / keys[j].norm())
            for j in b
        ]
        best = max(range(len(b)), key=scores.__getitem__)
        edges.append((scores[best], i, b[best]))
    edges.sort(reverse=True)
    groups = {j: [j] for j in b}
    gone = set()
    for _, i, j in edges[:min(r, len(x) // 2)]:
        groups[j].append(i)
        gone.add(i)
    tokens = [x[i] for i in a if i not in gone]
    counts = [float(sizes[i]) for i in a if i not in gone]
    for j in b:
        total = sum(float(sizes[i]) for i in groups[j])
        tokens.append(sum(x[i] * float(sizes[i]) for i in groups[j]) / total)
        counts.append(total)
    return torch.stack(tokens), torch.tensor(counts)


@pytest.mark.parametrize('num,r', [(8, 1), (9, 3), (16, 5), (7, 100), (2, 1)])
def test_merging_equals_loops(num, r):
    torch.manual_seed(num)
    x, keys = torch.randn(3, num, 6), torch.randn(3, num, 4)
    sizes = torch.randint(1, 5, (3, num)).float()
    tokens, counts = merge_tokens(x, sizes, match_tokens(keys, r))
    assert tokens.shape[1] == num - min(r, num // 2)
    for n in range(3):
        want, want_counts = naive_merge(x[n], keys[n], sizes[n], r)
        torch.testing.assert_close(tokens[n], want)
        torch.testing.assert_close(counts[n], want_counts)


def test_tokens_that_merge_into_one():
    """Two of A choose one of B: the mean of all three."""
    keys = torch.tensor([[[1., 0.], [1., 0.1], [1., 0.], [-1., 3.]]])
    x = torch.tensor([[[1.], [2.], [6.], [9.]]])
    tokens, counts = merge_tokens(x, torch.ones(1, 4), match_tokens(keys, 2))
    torch.testing.assert_close(tokens, torch.tensor([[[3.], [9.]]]))
    assert counts.tolist() == [[3., 1.]]


def test_class_token_and_prompts_stay():
    torch.manual_seed(0)
    x = torch.randn(2, 1 + 10 + 3, 4)
    # Keys all alike: the class token would merge if it could.
    y, sizes = merge_patches(x, torch.ones(2, 14, 2), torch.ones(2, 14), 4, 3)
    assert y.shape == (2, 10, 4)
    assert torch.equal(y[:, 0], x[:, 0])
    assert torch.equal(y[:, -3:], x[:, -3:])
    assert torch.equal(sizes[:, [0, -3, -2, -1]], torch.ones(2, 4))
    assert sizes.sum(1).tolist() == [14, 14]  # no patch is lost


def backbone(prompts=None, quick_gelu=True, **vision):
    arch = tiny_arch(
        vision_cfg=dict(layers=3, **vision), quick_gelu=quick_gelu)
    cfg = dict(type='CLIPVisionBackbone', arch=arch)
    if prompts:
        cfg.update(type='VLDeepPromptBackbone', prompts=prompts)
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


PROMPTS = dict(length=2, depth=2)


@pytest.mark.parametrize('prompts', [None, PROMPTS, dict(length=3, depth=3)])
@pytest.mark.parametrize(
    'changes', [dict(), dict(quick_gelu=False), dict(ls_init_value=0.3)])
@torch.no_grad()
def test_without_merging_the_tower_is_the_same(prompts, changes):
    model = backbone(prompts, **changes)
    images = torch.randn(2, 3, 32, 32)
    want = model(images)
    tower = InferenceTower(model.visual, model.prompts, 0).eval()
    torch.testing.assert_close(tower(images), want, atol=1e-5, rtol=1e-5)


def reference_tower(model, images, r):
    """The whole tower with merging, frame by frame, in plain algebra."""
    tower, prompts = model.visual, model.prompts
    tokens = None if prompts is None else prompts.tokens
    n = 0 if tokens is None else tokens.shape[1]
    out = []
    for image in images:
        x = F.conv2d(image[None], tower.conv1.weight, stride=8)
        x = torch.cat([tower.class_embedding[None],
                       x.flatten(2)[0].T]) + tower.positional_embedding
        if n:
            x = torch.cat([x, tokens[0]])
        x = tower.ln_pre(x)
        sizes = torch.ones(len(x))
        for layer, block in enumerate(tower.transformer.resblocks):
            if n and 0 < layer < len(tokens):
                x = torch.cat([x[:-n], tokens[layer]])
            attn, y = block.attn, block.ln_1(x)
            q, k, v = (y @ attn.in_proj_weight.T + attn.in_proj_bias).chunk(
                3, dim=-1)
            heads = []
            for one in range(attn.num_heads):
                cut = slice(32 * one, 32 * one + 32)
                # a token of size s counts as s tokens
                weights = sizes * (q[:, cut] @ k[:, cut].T / 32**0.5).exp()
                heads.append(weights / weights.sum(1, keepdim=True)
                             @ v[:, cut])
            x = x + attn.out_proj(torch.cat(heads, 1))
            if r and layer < len(tower.transformer.resblocks) - 1:
                keys = sum(k.split(32, dim=1)) / attn.num_heads
                end = len(x) - n
                patches, counts = naive_merge(x[1:end], keys[1:end],
                                              sizes[1:end], r)
                x = torch.cat([x[:1], patches, x[end:]])
                sizes = torch.cat([sizes[:1], counts, sizes[end:]])
            y = block.mlp.c_fc(block.ln_2(x))
            x = x + block.mlp.c_proj(y * torch.sigmoid(1.702 * y))
        out.append(tower.ln_post(x[0]) @ tower.proj)
    return torch.stack(out)


@pytest.mark.parametrize('prompts', [None, PROMPTS])
@pytest.mark.parametrize('r', [1, 3, 50])
@torch.no_grad()
def test_tower_with_merging_equals_plain_algebra(prompts, r):
    model = backbone(prompts)
    images = torch.randn(3, 3, 32, 32)
    want = reference_tower(model, images, r)
    plain = reference_tower(model, images, 0)
    assert (want - plain).abs().max() > 1e-3  # merging does something
    model.visual = InferenceTower(model.visual, model.prompts, r)
    torch.testing.assert_close(model(images), want, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_frames_do_not_mix():
    """A frame's embedding is the same in any company."""
    model = backbone()
    model.visual = InferenceTower(model.visual, None, 4)
    images = torch.randn(4, 3, 32, 32)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-5, rtol=1e-5)


def test_sizes_are_exact_in_bfloat16():
    x = torch.randn(1, 300, 4).bfloat16()
    sizes = torch.full((1, 300), 257.)  # not a bfloat16 number
    y, sizes = merge_tokens(x, sizes, match_tokens(x, 10))
    assert y.dtype == torch.bfloat16
    assert sizes.sum() == 300 * 257


@pytest.mark.parametrize('vision,said', [
    (dict(pool_type='avg'), "pool_type='avg'"),
    (dict(attentional_pool=True), 'class token'),
    (dict(qk_norm=True), 'CustomResidualAttentionBlock'),
])
def test_towers_that_cannot_merge(vision, said):
    model = backbone(**vision)
    with pytest.raises(ValueError, match=said):
        InferenceTower(model.visual, None, 1)
    model(torch.randn(1, 3, 32, 32))  # still whole
