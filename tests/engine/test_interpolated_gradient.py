"""The gradient of interpolated weights: against a plain loop over deep copies,
step by step."""
import copy
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmaction.registry import HOOKS, MODELS
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, OptimWrapperDict
from open_clip import CLIP
from tiny import (PROMPTS, Clips, assert_same, batches_of,
                  classifier_cfg, model_cfg, tiny_arch, wrapper_of)
from toy_runner import toy_runner

from projects.vifi_clip.engine import EpochSeedHook
from projects.vifi_clip.engine.interpolated_gradient import (
    InterpolatedGradientHook, clip_parameters, exchanged)
from projects.vifi_clip.errors import UserError

SEED = 3
PREPROCESSOR = dict(mean=[127.] * 3, std=[60.] * 3, format_shape='NCHW')
MIXUP = dict(PREPROCESSOR, blending=dict(
    type='RandomBatchAugment', probs=[0.5, 0.5],
    augments=[dict(type='MixupBlending', alpha=0.8),
              dict(type='CutmixBlending', alpha=1.0)]))


@pytest.fixture(scope='session')
def clip(tmp_path_factory) -> str:
    """A tiny CLIP's file."""
    path = tmp_path_factory.mktemp('clip') / 'clip.pt'
    torch.manual_seed(7)
    torch.save(CLIP(**tiny_arch()).state_dict(), path)
    return str(path)


def cfg_of(clip, backbone=None, text=None, preprocessor=PREPROCESSOR, head=(),
           **kwargs) -> dict:
    """Config of a tiny recognizer that starts from CLIP."""
    cfg = model_cfg(data_preprocessor=copy.deepcopy(preprocessor), head=dict(
        head, text_classifier=classifier_cfg(
            **{'pretrained': clip, **(text or {})})),
        **kwargs)
    cfg['backbone'].update({'pretrained': clip, **(backbone or {})})
    return cfg


def tuned(clip, **kwargs):
    """A model whose weights have left CLIP's, and a copy from before."""
    torch.manual_seed(0)
    model = MODELS.build(cfg_of(clip, **kwargs)).train()
    start = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(1)
    for param in model.parameters():
        if param.requires_grad:
            param.data += 0.02 * torch.randn(param.shape, generator=draw)
    return model, start


def steps_of(model, start, wrapper, batches, rank=0, wrap=None, **settings):
    """MMEngine's own loop with the hooks, but for the data loader. Gradients
    of each step."""
    hooks = [HOOKS.build(dict(type=name, **kwargs)) for name, kwargs in (
        ('EpochSeedHook', {}), ('TextAccumulationHook', {}),
        ('InterpolatedGradientHook', settings))]
    runner = SimpleNamespace(model=wrap or model, optim_wrapper=wrapper,
                             seed=SEED, epoch=0, iter=0)
    now = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(start.state_dict())
    hooks[2].before_run(runner)
    model.load_state_dict(now)
    for i, batch in enumerate(batches):
        kept = [(p.data_ptr(), p._version, p.detach().clone())
                for p in model.parameters()]
        for hook in hooks:
            if hasattr(hook, 'before_train_iter'):
                hook.before_train_iter(runner, i, batch)
        for (place, version, value), param in zip(kept, model.parameters()):
            assert (param.data_ptr(), param._version) == (place, version)
            assert torch.equal(param, value)
        (wrap or model).train_step(batch, wrapper)
        hooks[1].after_train_iter(runner, i, batch)
        runner.iter += 1
    return wrapper.gradients


def ratio_of(iteration, rank=0, most=0.6):
    return np.random.default_rng([SEED, rank, iteration]).uniform(0, most)


def of_clip(name):
    return name.startswith(('backbone.visual.', 'cls_head.logit_scale',
                            'cls_head.text_classifier.text.'))


def plain_gradient(model, start, batches, ratio, weight=0.5, rank=0):
    """dl(w)/dw + weight * dl(w')/dw', the mean over batches."""
    between, total = copy.deepcopy(model), {}
    own, clips = dict(model.named_parameters()), dict(start.named_parameters())
    with torch.no_grad():
        for name, param in between.named_parameters():
            if of_clip(name) and param.requires_grad:
                param.copy_(ratio * clips[name] + (1 - ratio) * own[name])
    for i, batch in enumerate(batches):
        for part, scale in (between, weight), (copy.deepcopy(model), 1.):
            with patch('projects.vifi_clip.engine.hooks.get_rank',
                       return_value=rank):
                EpochSeedHook().before_train_iter(
                    SimpleNamespace(seed=SEED, epoch=0), i)
            part.zero_grad()
            data = part.data_preprocessor(copy.deepcopy(batch), True)
            part(**data, mode='loss')['loss_cls'].backward()
            for name, param in part.named_parameters():
                if param.grad is not None:
                    total[name] = total.get(name, 0) + (
                        scale / len(batches) * param.grad)
    return total


VARIANTS = dict(
    both=dict(),
    image=dict(tune='image', logit_scale=True),
    neighbours=dict(backbone=dict(type='NeighbourBackbone', num_frames=None),
                    tune='image'),
    mixup=dict(preprocessor=MIXUP),
    templates=dict(tune='image', text=dict(
        random_template=True, templates=['a photo of a {}.', '{}'])),
    checkpointing=dict(backbone=dict(grad_checkpointing=True)),
    # of which CLIP has a part
    xclip=dict(backbone=dict(type='XCLIPBackbone', num_frames=None),
               head=dict(condition=dict(type='VideoPrompts'), temporal=dict(
                   type='TemporalTransformer', max_frames=2, depth=1))),
    contrastive=dict(head=dict(loss_cls=dict(type='CLIPContrastiveLoss'))))


@pytest.mark.parametrize('counts', [1, 2])
@pytest.mark.parametrize('variant', VARIANTS)
def test_equals_a_plain_loop(clip, variant, counts):
    """A step of one and of two micro-batches, and the draws of the next."""
    model, start = tuned(clip, **VARIANTS[variant])
    reference, batches = copy.deepcopy(model), batches_of(2 * counts)
    steps = steps_of(model, start, wrapper_of(model, counts), batches)
    assert len(steps) == 2 and ratio_of(0) != ratio_of(counts)
    assert_same(steps[:1], [plain_gradient(
        reference, start, batches[:counts], ratio_of(0))], rtol=1e-4)


@pytest.mark.parametrize('step', [0, 1])
def test_each_step_draws_its_own_ratio(clip, step):
    """All its micro-batches have it; w_CLIP stays where it was."""
    model, start = tuned(clip)
    wrapper, batches = wrapper_of(model, 2), batches_of(4)
    wrapper.optimizer.param_groups[0]['lr'] = 0.  # w stays, too
    steps = steps_of(model, start, wrapper, batches)
    assert_same(steps[step:step + 1], [plain_gradient(
        model, start, batches[2 * step:2 * step + 2], ratio_of(2 * step))],
        rtol=1e-4)


def test_what_clip_lacks_is_not_interpolated(clip):
    model, _ = tuned(clip, prompts=PROMPTS)
    model.backbone.prompts.requires_grad_()
    ours = {id(p) for p in clip_parameters(model)}
    assert len(ours) > 40
    for name, param in model.named_parameters():
        assert (id(param) in ours) == (
            of_clip(name) and param.requires_grad), name


def test_two_micro_batches_equal_one_batch(clip):
    model, start = tuned(clip)
    copied, clips = copy.deepcopy(model), Clips()
    halves = steps_of(model, start, wrapper_of(model, 2), batches_of(2))
    whole = steps_of(copied, start, wrapper_of(copied, 1), [
        pseudo_collate([clips[i] for i in range(4)])])
    assert_same(halves, whole, rtol=1e-4)


@pytest.mark.parametrize('settings', [dict(weight=0), None])
def test_switched_off_nothing_changes(clip, settings, monkeypatch):
    """Bit by bit, random numbers included."""
    model, start = tuned(clip, preprocessor=MIXUP)
    plain, batches = copy.deepcopy(model), batches_of(3)
    ours = steps_of(model, start, wrapper_of(model, 1), batches,
                    **(settings or {}))
    monkeypatch.setattr(InterpolatedGradientHook, 'before_train_iter',
                        lambda *args: None)
    without = steps_of(plain, start, wrapper_of(plain, 1), batches)
    same = all(torch.equal(a[name], b[name]) for a, b in zip(ours, without)
               for name in a)
    assert same == (settings is not None)


@pytest.mark.parametrize('kind, scale, most', [
    ('AutocastOptimWrapper', 1, 0.1), ('HalfOptimWrapper', 256, 0.01)])
def test_in_mixed_precision(clip, kind, scale, most):
    """Autocast rounds both; a scaler multiplies both losses."""
    model, start = tuned(clip)
    reference, batches = copy.deepcopy(model), batches_of(1)
    coarse, = steps_of(model, start, wrapper_of(model, 1, type=kind), batches)
    plain = plain_gradient(reference, start, batches, ratio_of(0))
    name = 'backbone.visual.transformer.resblocks.0.mlp.c_fc.weight'
    error = (coarse[name] / scale - plain[name]).norm() / plain[name].norm()
    assert most / 100 < error < most


def test_clipping_sees_the_sum(clip):
    model, start = tuned(clip)
    reference, batches = copy.deepcopy(model), batches_of(1)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1.)
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=1e-2))
    wrapper.gradients = []
    before = copy.deepcopy(model.state_dict())
    steps_of(model, start, wrapper, batches)
    plain = plain_gradient(reference, start, batches, ratio_of(0))
    norm = torch.stack([g.norm() for g in plain.values()]).norm()
    assert norm > 1e-2
    for name, grad in plain.items():
        torch.testing.assert_close(
            before[name] - model.state_dict()[name], grad * 1e-2 / norm,
            rtol=1e-2, atol=1e-6)


def test_exchanged_values_come_back_after_an_error():
    param = torch.nn.Parameter(torch.randn(3))
    place, value = param.data_ptr(), param.detach().clone()
    with pytest.raises(RuntimeError):
        with exchanged([param], [torch.zeros(3)]):
            assert not param.any()
            raise RuntimeError
    assert param.data_ptr() == place and torch.equal(param, value)


def _runner(folder, clip, epochs=2, hooks=(), **kwargs):
    return toy_runner(
        folder, Clips(), epochs=epochs, model=cfg_of(clip),
        loader=dict(collate_fn=pseudo_collate),
        custom_hooks=[dict(type=name) for name in (
            'EpochSeedHook', 'EpochAccumulationHook', 'TextAccumulationHook',
            'ResumeHook', 'PlainCheckpointHook', 'InterpolatedGradientHook',
            *hooks)],
        optim_wrapper=dict(accumulative_counts=2, optimizer=dict(
            type='AdamW', lr=1e-3)), **kwargs)


@pytest.mark.parametrize('hooks', [(), ('EMAHook', )], ids=['alone', 'ema'])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, clip, hooks):
    """CLIP's weights are those of `pretrained`, not of the checkpoint."""
    checkpoint = dict(max_keep_ckpts=-1)
    _runner(tmp_path / 'whole', clip, hooks=hooks, batch_size=1,
            checkpoint=checkpoint).train()
    _runner(tmp_path / 'part', clip, hooks=hooks, batch_size=1, resume=True,
            load_from=str(tmp_path / 'whole/epoch_1.pth')).train()
    whole, part = (torch.load(tmp_path / name / 'epoch_2.pth')
                   for name in ('whole', 'part'))
    keys = ['state_dict', *(['ema_state_dict'] if hooks else [])]
    for key in keys:
        torch.testing.assert_close(whole[key], part[key], rtol=0, atol=0)
    if hooks:  # a plain mean of what the steps gave
        assert any(not torch.equal(value, whole['ema_state_dict'][
            f'module.{name}']) for name, value in whole['state_dict'].items())


@pytest.mark.parametrize('change, said', [
    (dict(strategy=1), 'STRATEGY=ddp'),
    (dict(optim_wrapper=OptimWrapperDict()), 'one optimizer'),
    (dict(model=dict(backbone=dict(pretrained=None))), 'backbone.pretrained'),
    (dict(model=dict(text=dict(pretrained=None))),
     'text_classifier.pretrained'),
    (dict(model=dict(tune='none')), 'TUNE=none')])
def test_what_is_refused(clip, change, said):
    model = MODELS.build(cfg_of(clip, **change.get('model', {})))
    runner = SimpleNamespace(**{'optim_wrapper': object(), **change,
                                'model': model})
    with pytest.raises(UserError, match=said) as caught:
        InterpolatedGradientHook().before_run(runner)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('setting', [
    dict(max_ratio=1.1), dict(max_ratio=-.1), dict(weight=-1),
    dict(weight=float('nan'))])
def test_bad_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        InterpolatedGradientHook(**setting)


def test_a_test_keeps_no_weights(clip):
    hook = InterpolatedGradientHook()
    for wrapper in None, dict(type='OptimWrapper'):
        hook.before_run(SimpleNamespace(optim_wrapper=wrapper))
    assert not hook._clip


def _worker(rank, clip, store, out):
    import projects.vifi_clip  # noqa: F401
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    from mmengine.model import MMDistributedDataParallel
    found = {}
    for counts in 1, 2:
        model, start = tuned(clip, preprocessor=MIXUP)
        batches = batches_of(4)[rank::2][:counts]
        found[counts] = steps_of(
            model, start, wrapper_of(model, counts), batches,
            wrap=MMDistributedDataParallel(model))
    torch.save(found, f'{out}.{rank}')
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_average_both_gradients(clip, tmp_path):
    """Each with weights, videos, classes and mixtures of its own."""
    mp.spawn(_worker, args=(clip, str(tmp_path / 'store'),
                            str(tmp_path / 'out')), nprocs=2)
    ranks = [torch.load(tmp_path / f'out.{rank}') for rank in range(2)]
    assert ratio_of(0, 0) != ratio_of(0, 1)
    for counts in 1, 2:
        model, start = tuned(clip, preprocessor=MIXUP)
        parts = [plain_gradient(model, start, batches_of(4)[rank::2][:counts],
                                ratio_of(0, rank), rank=rank)
                 for rank in range(2)]
        expected = {name: (parts[0][name] + parts[1][name]) / 2
                    for name in parts[0]}
        for rank in ranks:
            assert_same(rank[counts], [expected], rtol=1e-4)
