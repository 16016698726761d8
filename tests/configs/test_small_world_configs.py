"""The small world's configs: their batches fit their models, which train."""
import pytest
import torch
from config_entries import METHODS, batch_of
from mmaction.registry import MODELS
from mmengine.optim import build_optim_wrapper


def test_small_clip_takes_a_step(read, mini):
    cfg = read('mini_clip', **mini)
    model = MODELS.build(cfg.model).train()
    batch = batch_of(model, cfg.train_dataloader, 8)
    assert batch['inputs'].shape == (8, 1, 3, 60, 60)
    model(**batch, mode='loss')['loss_cls'].backward()
    tokens = model.cls_head.text_classifier.text.token_embedding.weight
    assert 0 < tokens.grad.abs().sum() < float('inf')


def test_small_world_views(read, mini):
    cfg = read('vifi_mini', **mini)
    model = MODELS.build(cfg.model).eval()
    batch = batch_of(model, cfg.test_dataloader, 2)
    assert batch['inputs'].shape == (2, 12 * 8, 3, 60, 60)
    with torch.no_grad():
        score = model(**batch, mode='predict')[0].pred_score
    assert score.shape == (24, ) and abs(float(score.sum()) - 1) < 1e-5


def test_small_retrieval_takes_a_step(read, mini):
    cfg = read('mini_retrieval', TUNE='image', SEED=2, **mini)
    assert cfg.randomness.seed == 2
    model = MODELS.build(cfg.model).train()
    for part in 'train', 'test':
        batch = batch_of(model, cfg[f'{part}_dataloader'], 5)
        assert batch['inputs']['imgs'].shape == (5, 8, 3, 60, 60)
        assert batch['inputs']['text'].shape == (5, 32)
        assert torch.isfinite(model(**batch, mode='loss')['loss_contrastive'])


@pytest.mark.parametrize('method', METHODS)
def test_a_method_trains_and_tests_on_the_small_world(read, mini, method):
    cfg = read('vifi_mini', METHOD=method, **mini)
    model = MODELS.build(cfg.model).train()
    loader = cfg.train_dataloader
    loss = model(**batch_of(model, loader, 3), mode='loss')['loss_cls']
    loss.backward()
    for name, param in model.named_parameters():
        if param.requires_grad and 'text_projection' not in name:
            assert param.grad is not None, name
    with torch.no_grad():
        scores = model.eval()(**batch_of(model, cfg.val_dataloader, 2),
                              mode='predict')[0].pred_score
    assert scores.shape == (24, ) and abs(float(scores.sum()) - 1) < 1e-5


def test_what_open_vclip_trains(read, mini, tmp_path):
    """Norms and biases do not decay, the logit scale does."""
    cfg = read('vifi_mini', METHOD='open_vclip', **mini)
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(
        model, cfg.optim_wrapper).optimizer.param_groups
    decays = {id(p): group['weight_decay']
              for group in groups for p in group['params']}
    for name, param in model.named_parameters():
        trains = name.startswith(('backbone.', 'cls_head.logit_scale'))
        assert param.requires_grad == trains == (id(param) in decays)
        if trains:
            assert decays[id(param)] == (0 if param.ndim == 1 else 0.01)


@pytest.mark.parametrize('aux', ['taco', 'froster'])
def test_auxiliary_losses_on_the_small_world(read, mini, tmp_path, aux):
    """The projection has a rate of its own, and trains."""
    start = tmp_path / 'clip.pth'
    torch.save(MODELS.build(read('vifi_mini', **mini).model).state_dict(),
               start)
    cfg = read('vifi_mini', AUX=aux, **dict(mini, MINI_CLIP=start))
    model = MODELS.build(cfg.model).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {id(p): group['lr'] for group in wrapper.optimizer.param_groups
             for p in group['params']}
    new, = {rates[id(p)] for p in model.auxiliary.parameters()}
    clip, = {rates[id(p)] for p in model.backbone.parameters()}
    assert clip == pytest.approx(3e-4)
    assert new == (4e-3 if aux == 'taco' else clip)
    losses = model(**batch_of(model, cfg.train_dataloader, 3), mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert any(p.grad.any() for p in model.auxiliary.parameters())
