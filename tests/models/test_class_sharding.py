"""Classes spread over two processes equal classes encoded by each."""
import copy

import pytest
import torch
import torch.multiprocessing as mp
from tiny import NAMES, build_classifier
from torch import nn

from projects.vifi_clip.models.class_embeddings import share_classes

NINE = [*NAMES, 'a very long name of an action', 'run', 'ski', 'two words',
        'five']
TEMPLATES = ['a photo of a {}.', '{}', 'a video of a person doing {}']
CASES = dict(
    nine=dict(class_names=NINE),
    templates=dict(class_names=NINE, templates=TEMPLATES),
    three=dict(class_names=NINE[:3]),
    one=dict(class_names=NINE[:1]),
    prompts=dict(class_names=NINE, prompts=dict(length=2, depth=2)),
    pieces=dict(class_names=NINE, max_graph_tokens=40))


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


def _results(shard, rank, kwargs):
    ddp = nn.parallel.DistributedDataParallel(
        _Loss(shard_classes=shard, **copy.deepcopy(kwargs)))
    classifier = ddp.module.classifier
    rows = []
    classifier.text.ln_final.register_forward_hook(
        lambda module, args, output: rows.append(len(output)))
    classes, loss = ddp(rank)
    encoded = sum(rows)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in ddp.named_parameters()}
    with torch.no_grad():
        kept = classifier()
    return classes.detach(), grads, encoded, kept


def _worker(rank, store, out):
    import projects.vifi_clip  # noqa: F401
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    results = {
        name: [_results(shard, rank, kwargs)
               for shard in (False, None, True)]
        for name, kwargs in CASES.items()}
    torch.save(results, f'{out}.{rank}')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shared')
    mp.spawn(_worker, args=(str(folder / 'store'), str(folder / 'out')),
             nprocs=2)
    return [torch.load(folder / f'out.{rank}') for rank in range(2)]


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('setting', [1, 2], ids=['None', 'True'])
def test_two_processes_equal_each_on_its_own(ranks, case, setting):
    for results in ranks:
        plain, shared = results[case][0], results[case][setting]
        torch.testing.assert_close(shared[0], plain[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(shared[3], plain[0], atol=1e-5, rtol=0)
        for name, grad in shared[1].items():
            scale = float(plain[1][name].abs().max())
            torch.testing.assert_close(
                grad, plain[1][name], rtol=1e-5, atol=1e-5 * scale, msg=name)
        moved = [n for n, grad in plain[1].items() if grad.abs().max() > 0]
        assert len(moved) > 20


@pytest.mark.parametrize('case', CASES)
def test_the_work_is_shared(ranks, case):
    counts = [results[case][1][2] for results in ranks]
    alone = ranks[0][case][0][2]
    assert sum(counts) == max(alone, 2)  # one class: the other a blank
    assert max(counts) - min(counts) <= len(
        CASES[case].get('templates', 'x'))


@pytest.mark.parametrize('num', [1, 2, 3, 8, 9, 100])
@pytest.mark.parametrize('world_size', [1, 2, 3, 8])
def test_every_class_has_one_owner_and_like_work(num, world_size):
    costs = torch.randint(5, 30, (num, ),
                          generator=torch.Generator().manual_seed(num))
    places = -(-num // world_size)
    found, work = [], []
    for rank in range(world_size):
        own, row = share_classes(costs, rank, world_size)
        assert 1 <= len(own) <= places
        assert torch.equal(own, own.sort().values)
        mine = (row // places == rank).nonzero().flatten()
        if len(mine):
            assert torch.equal(row[own] - rank * places,
                               torch.arange(len(own)))
            assert torch.equal(mine, own)
            work.append(int(costs[own].sum()))
        else:
            assert len(own) == 1  # a blank
        found += mine.tolist()
    assert sorted(found) == list(range(num))
    assert len(set(row.tolist())) == num
    # no two processes differ by more than one class
    assert num < world_size or max(work) - min(work) <= int(costs.max())
