"""Two processes equal one: shared classes, in-batch loss; and a run of two
that goes on equals an unbroken one.

One pair of processes runs everything; the tests look at what it left. Texts
that are encoded once a step are in tests/run/test_distributed.py.
"""
import copy
import os

import pytest
import torch
import torch.multiprocessing as mp
from test_resume import assert_equal, end, run
from tiny import (NAMES, VARIANTS, assert_same, build_classifier, build_model,
                  classifier_cfg, gradients, samples)
from torch import nn

pytestmark = pytest.mark.slow
NINE = [*NAMES, 'a very long name of an action', 'run', 'ski', 'two words',
        'five']
CLASSES = dict(
    templates=dict(class_names=NINE, templates=[
        'a photo of a {}.', '{}', 'a video of a person doing {}']),
    # one draw for all processes, whose random numbers differ
    drawn=dict(class_names=NINE, random_template='shared', templates=[
        'a photo of a {}.', '{}', 'a video of a {}', 'doing {}'],
        always_templates=['{}']),
    one=dict(class_names=NINE[:1]),
    pieces=dict(class_names=NINE, prompts=dict(length=2, depth=2),
                max_graph_tokens=40))
LOSSES = dict(
    **{name: VARIANTS[name] for name in (
        'conditioned', 'video_prompts', 'auxiliary', 'lora',
        'STAdapterBackbone', 'AIMBackbone')},
    # with one draw for both processes, model and teacher
    drawn=dict(VARIANTS['auxiliary'], head=dict(text_classifier=classifier_cfg(
        templates=['a photo of a {}.', '{}', 'a video of a {}'],
        random_template='shared', average='raw'))),
    **{loss: dict(head=dict(loss_cls=dict(type=loss)))
       for loss in ('CLIPContrastiveLoss', 'KLContrastiveLoss')})
LABELS = [0, 1, 2, 0, 3, 1, 0, 2]


class _Loss(nn.Module):
    """A classifier under a loss that differs from process to process."""

    def __init__(self, **kwargs) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classifier = build_classifier(**kwargs).train()

    def forward(self, seed):
        classes = self.classifier()
        draw = torch.Generator().manual_seed(seed)
        video = torch.randn(3, classes.shape[1], generator=draw)
        logits = video @ classes.T
        return classes, (logits.logsumexp(1) + logits[:, -1]**2).mean()


def _classes(shard, rank, kwargs):
    ddp = nn.parallel.DistributedDataParallel(
        _Loss(shard_classes=shard, **copy.deepcopy(kwargs)))
    classifier, rows = ddp.module.classifier, []
    classifier.text.ln_final.register_forward_hook(
        lambda module, args, output: rows.append(len(output)))
    torch.manual_seed(rank)
    classes, loss = ddp(rank)
    encoded = sum(rows)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in ddp.named_parameters()}
    with torch.no_grad():
        return classes.detach(), grads, encoded, classifier()


def _loss(kwargs, part, wrap=lambda model: model):
    torch.manual_seed(0)
    model = build_model(**copy.deepcopy(kwargs)).train()
    for name, param in model.named_parameters():
        if 'auxiliary' in name or model.tune == 'adapters':
            param.data += 0.05 * torch.randn_like(param)  # zero at the start
    frames = torch.randn(8, 2, 3, 32, 32,
                         generator=torch.Generator().manual_seed(3))
    wrapped = wrap(model)  # DDP averages for as long as it lives
    losses = wrapped(frames[part], samples([[x] for x in LABELS[part]]),
                     mode='loss')
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    return loss.detach(), gradients(model)


def _run_and_resume(folder):
    """Two epochs of three micro-batches on each process."""
    os.environ['LOCAL_RANK'] = '0'  # MMEngine looks, even on CPU
    settings = dict(
        launcher='pytorch', cfg=dict(model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None)))
    run(folder / 'whole', **settings)
    for start in 1, 4:  # of three, and of the second epoch
        run(folder / f'from_{start}', **settings,
            start=folder / f'whole/iter_{start}.pth')


def _worker(rank, folder):
    import projects.vifi_clip  # noqa: F401
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    classes = {name: [_classes(shard, rank, kwargs)
                      for shard in (False, None, True)]
               for name, kwargs in CLASSES.items()}
    losses = {name: _loss(kwargs, slice(rank * 4, rank * 4 + 4),
                          nn.parallel.DistributedDataParallel)
              for name, kwargs in LOSSES.items()}
    _run_and_resume(folder)
    torch.save((classes, losses), folder / f'out.{rank}')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shared')
    mp.spawn(_worker, args=(folder, ), nprocs=2)
    return folder


@pytest.fixture(scope='module')
def ranks(folder):
    return [torch.load(folder / f'out.{rank}') for rank in range(2)]


@pytest.mark.parametrize('start', [1, 4])
def test_resumed_inside_an_epoch_equals_unbroken(folder, start):
    assert_equal(end(folder / f'from_{start}', 6), end(folder / 'whole', 6))


@pytest.mark.parametrize('case', CLASSES)
@pytest.mark.parametrize('setting', [1, 2], ids=['None', 'True'])
def test_shared_classes_equal_each_on_its_own(ranks, case, setting):
    runs = [(classes[case][0], classes[case][setting]) for classes, _ in ranks]
    for plain, shared in runs:
        for i in (0, 3):
            torch.testing.assert_close(shared[i], plain[i], atol=1e-5, rtol=0)
        assert_same([shared[1]], [plain[1]])
        assert sum(bool(grad.any()) for grad in plain[1].values()) > 20
    # the work is shared; of one class, the other process has a blank
    counts = [shared[2] for _, shared in runs]
    assert sum(counts) == max(runs[0][0][2], 2)
    assert max(counts) - min(counts) <= len(
        CLASSES[case].get('templates', 'x'))


@pytest.mark.parametrize('name', LOSSES)
def test_losses_equal_those_of_the_joined_batch(ranks, name):
    """Labels repeat within and across the processes."""
    loss, expected = _loss(LOSSES[name], slice(None))
    others = torch.stack([losses[name][0] for _, losses in ranks])
    torch.testing.assert_close(others.mean(), loss)
    if name.endswith('Loss'):  # each has the loss of the whole batch
        torch.testing.assert_close(others, loss.expand(2))
    for _, losses in ranks:
        grads = losses[name][1]
        assert len(grads[0]) > 5
        assert_same(grads, expected, rtol=1e-4)
