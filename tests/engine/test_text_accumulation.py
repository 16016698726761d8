"""Classes encoded once a step: the gradients are the plain way's."""
import copy
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from accumulation_world import (assert_same, batches_of, count_text_runs,
                                trained_model)
from mmaction.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny import classifier_cfg
from torch import nn
from toy_runner import RUNTIME, toy_runner

PROMPTS = dict(length=2, depth=2)
VARIANTS = dict(
    both=dict(),
    image_fusion=dict(head=dict(fusion='image', label_smooth_eps=0.1)),
    soft_labels=dict(head=dict(label_smooth_eps=0.1)),
    prompts=dict(prompts=PROMPTS, tune='prompts'),
    text=dict(tune='text', train_token_embedding=True),
    chunks=dict(head=dict(text_classifier=classifier_cfg(
        templates=['a photo of a {}.', '{}'], max_graph_tokens=40))))


def _wrapper(model, counts, max_counts=-1, **kwargs):
    inner = getattr(model, 'module', model)
    optimizer = torch.optim.SGD(inner.parameters(), lr=1e-3)
    wrapper = OPTIM_WRAPPERS.build(dict(
        type=kwargs.pop('type', 'OptimWrapper'), optimizer=optimizer,
        accumulative_counts=counts, **kwargs))
    if max_counts > 0:
        wrapper.initialize_count_status(inner, 0, max_counts)
    wrapper.found = []  # gradients of each step

    def step(**kwargs):
        wrapper.found.append({n: p.grad.clone()
                              for n, p in inner.named_parameters()
                              if p.grad is not None})
        optimizer.step()

    wrapper.step = step
    return wrapper


def _train(model, wrapper, batches, hook=True):
    """MMEngine's own loop, but for the data loader."""
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper)
    hook = HOOKS.build(dict(type='TextAccumulationHook')) if hook else None
    for i, batch in enumerate(batches):
        if hook:
            hook.before_train_iter(runner, i, batch)
        model.train_step(copy.deepcopy(batch), wrapper)
        if hook:
            hook.after_train_iter(runner, i, batch)
    return wrapper.found


@pytest.mark.parametrize('variant, num, counts', [
    *[(variant, 6, 4) for variant in VARIANTS], ('both', 4, 4),
    ('both', 5, 4), ('both', 6, 3)])
def test_gradients_equal_the_plain_ones(variant, num, counts):
    """Also where an epoch ends before a step is full."""
    plain, model = (trained_model(**VARIANTS[variant]) for _ in range(2))
    batches = batches_of(num)
    expected = _train(plain, _wrapper(plain, counts, num), batches, False)
    wrapper = _wrapper(model, counts, num)
    assert len(expected) == -(-num // counts)
    assert_same(_train(model, wrapper, batches), expected)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value,
                                   rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('variant', ['both', 'prompts'])
def test_text_runs_once_a_step(variant):
    model = trained_model(**VARIANTS[variant])
    found = count_text_runs(model)
    wrapper = _wrapper(model, 4, 10)
    _train(model, wrapper, batches_of(10))
    assert (found.forward, found.backward) == (3, 3)
    assert len(wrapper.found) == 3
    _train(model, _wrapper(model, 4, 10), batches_of(10), hook=False)
    assert (found.forward, found.backward) == (13, 13)


def test_autocast():
    wrapper = dict(type='AutocastOptimWrapper')
    plain, model = trained_model(), trained_model()
    batches = batches_of(4)
    exact = trained_model()
    full, = _train(exact, _wrapper(exact, 4), batches, False)
    expected, = _train(plain, _wrapper(plain, 4, **wrapper), batches, False)
    found, = _train(model, _wrapper(model, 4, **wrapper), batches)

    def error(gradients):
        """Of all gradients together: each one alone is a matter of chance."""
        return sum(float((gradients[name] - grad).norm()**2)
                   for name, grad in full.items())**.5

    # bfloat16 rounds; it does so no worse than the plain way
    assert error(found) < 1.5 * error(expected)
    assert error(expected) < .1 * sum(
        float(grad.norm()**2) for grad in full.values())**.5
    # the text side did run in bfloat16
    name = 'cls_head.text_classifier.text.text_projection'
    assert (found[name] - full[name]).norm() > 1e-3 * full[name].norm()


class _Data(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 5

    def __getitem__(self, i):
        batch = batches_of(5, size=1)[i]
        return {key: value[0] for key, value in batch.items()}


def _run(work_dir, hooks):
    """MMEngine's runner, two micro-batches of one video in a step."""
    model = trained_model()
    counts = count_text_runs(model)
    loader = dict(
        batch_size=1, dataset=_Data(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'))
    runner = toy_runner(
        work_dir, epochs=2, model=model, train_dataloader=loader,
        custom_hooks=hooks, param_scheduler=[],
        optim_wrapper=dict(type='AutocastOptimWrapper', dtype='float32',
                           optimizer=dict(type='SGD', lr=0.1),
                           clip_grad=dict(max_norm=1.0),
                           accumulative_counts=2))
    runner.train()
    return model.state_dict(), counts


def test_with_a_runner(tmp_path):
    """Two epochs of two steps of 2 micro-batches; a fifth, whose gradients
    wait in vain, is left out."""
    runtime = Config.fromfile(RUNTIME).custom_hooks
    hooks = [h for h in runtime if 'Accumulation' in h['type']]
    assert [h['type'] for h in hooks] == ['EpochAccumulationHook',
                                          'TextAccumulationHook']
    found, counts = _run(tmp_path / 'a', hooks)
    expected, plain = _run(tmp_path / 'b', hooks[:1])
    assert (counts.forward, counts.backward) == (6, 4)
    assert (plain.forward, plain.backward) == (10, 10)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_no_accumulation_is_left_alone():
    model = trained_model()
    found = count_text_runs(model)
    _train(model, _wrapper(model, 1), batches_of(3))
    assert (found.forward, found.backward) == (3, 3)


class _OwnRules(OptimWrapper):

    def should_sync(self):
        return True


def test_wrappers_with_rules_of_their_own_are_left_alone():
    model = trained_model()
    hook = HOOKS.build(dict(type='TextAccumulationHook'))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one = OptimWrapper(optimizer, accumulative_counts=4)
    others = [OptimWrapperDict(a=one),
              _OwnRules(optimizer, accumulative_counts=4)]
    store = model.cls_head.text_classifier.class_accumulation
    for wrapper in [*others, one]:
        hook.before_train_iter(
            SimpleNamespace(model=model, optim_wrapper=wrapper), 0)
        assert (store._mode == 'wait') == (wrapper is one)
    hook.before_train_iter(SimpleNamespace(
        model=nn.Linear(2, 2), optim_wrapper=one), 0)  # nothing to tell


SHARED = dict(head=dict(text_classifier=classifier_cfg(shard_classes=True)))
ALONE = dict(head=dict(text_classifier=classifier_cfg(shard_classes=False)))
RUNS = [('both', ALONE), ('both', SHARED), ('image_fusion', {}),
        ('prompts', {}), ('chunks', {})]


def _worker(rank, store, out):
    import projects.vifi_clip  # noqa: F401
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    results = []
    for variant, changes in RUNS:
        for hook in (True, False):
            settings = copy.deepcopy(VARIANTS[variant])
            settings.update(copy.deepcopy(changes if hook else ALONE)
                            if variant == 'both' else {})
            ddp = MMDistributedDataParallel(trained_model(**settings))
            counts = count_text_runs(ddp)
            grads = _train(ddp, _wrapper(ddp, 3, 5), batches_of(5, seed=rank),
                           hook)
            results.append((grads, counts.forward, counts.backward))
    torch.save(results, f'{out}.{rank}')
    torch.distributed.destroy_process_group()


def test_two_processes(tmp_path):
    """DDP sees one backward pass of the text side, in the micro-batch in
    which it synchronises."""
    store, out = tmp_path / 'store', tmp_path / 'out'
    mp.spawn(_worker, args=(str(store), str(out)), nprocs=2)
    ranks = [torch.load(f'{out}.{rank}') for rank in range(2)]
    for results in ranks:
        for one, plain in zip(results[::2], results[1::2]):
            assert_same(one[0], plain[0])
            assert len(one[0]) == 2  # steps of 3 and of 2 micro-batches
            assert (plain[1], plain[2] % 5) == (plain[2], 0)
            assert one[1] * 5 == plain[1] * 2
    for one, two in zip(*ranks):
        for step, other in zip(one[0], two[0]):
            for name, grad in step.items():  # synchronised
                assert torch.equal(grad, other[name]), name
