"""In-batch loss against OpenCLIP's, formulas, and two processes."""
import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.loss import ClipLoss
from tiny import build_model, samples

SCALE = torch.tensor(12.0)


def _pairs(seed=0, num=8):
    generator = torch.Generator().manual_seed(seed)
    video, text = (F.normalize(torch.randn(num, 16, generator=generator),
                               dim=-1) for _ in range(2))
    return video.requires_grad_(), text.requires_grad_()


def build_loss(**kwargs):
    return MODELS.build(dict(type='CLIPContrastiveLoss', **kwargs))


def test_distinct_labels_equal_openclip():
    video, text = _pairs()
    expected = ClipLoss()(video, text, SCALE)
    for labels in (None, torch.randperm(8)):
        torch.testing.assert_close(
            build_loss()(video, text, SCALE, labels), expected)
    torch.testing.assert_close(
        build_loss(loss_weight=0.5)(video, text, SCALE), expected / 2)


def test_repeated_labels_share_the_target():
    video, text = _pairs(num=4)
    labels = torch.tensor([5, 2, 5, 5])
    logits = SCALE * video @ text.T
    total = 0.
    for scores in (logits, logits.T):
        log_prob = scores.log_softmax(-1)
        for row in range(4):
            positives = [c for c in range(4) if labels[c] == labels[row]]
            total -= sum(log_prob[row, c] for c in positives) / len(positives)
    torch.testing.assert_close(
        build_loss()(video, text, SCALE, labels), total / 8)


def test_shapes_must_pair():
    video, text = _pairs()
    with pytest.raises(ValueError, match=r'\(8, 16\) and \(6, 16\)'):
        build_loss()(video, text[:6], SCALE)


LABELS = [0, 1, 2, 0, 3, 1, 0, 2]


def _worker(rank, world_size, store, out):
    """One process: the model under DDP on its half of the batch."""
    import projects.vifi_clip  # noqa: F401
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank,
        world_size=world_size)
    model, inputs = _model(), _inputs()
    ddp = torch.nn.parallel.DistributedDataParallel(model)
    half = slice(rank * 4, rank * 4 + 4)
    losses = ddp(inputs[half], samples([[x] for x in LABELS[half]]),
                 mode='loss')
    losses['loss_cls'].backward()
    grads = {n: p.grad for n, p in model.named_parameters()
             if p.grad is not None}
    torch.save((losses['loss_cls'].detach(), grads), f'{out}.{rank}')
    torch.distributed.destroy_process_group()


def _model():
    torch.manual_seed(0)
    return build_model(head=dict(
        loss_cls=dict(type='CLIPContrastiveLoss'))).train()


def _inputs():
    return torch.randn(8, 2, 3, 32, 32,
                       generator=torch.Generator().manual_seed(3))


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    """Loss and gradients, through a whole model under DDP; labels repeat
    within and across the processes."""
    model = _model()
    loss = model(_inputs(), samples([[x] for x in LABELS]),
                 mode='loss')['loss_cls']
    loss.backward()
    store, out = tmp_path / 'store', tmp_path / 'out'
    mp.spawn(_worker, args=(2, str(store), str(out)), nprocs=2)
    for rank in range(2):
        other, grads = torch.load(f'{out}.{rank}')
        torch.testing.assert_close(other, loss.detach())
        expected = {n: p.grad for n, p in model.named_parameters()
                    if p.grad is not None}
        assert grads.keys() == expected.keys() and len(grads) > 20
        for name, grad in grads.items():
            torch.testing.assert_close(
                grad, expected[name], atol=1e-6, rtol=1e-4, msg=name)


def test_mixed_labels_are_refused():
    model = build_model(head=dict(loss_cls=dict(type='CLIPContrastiveLoss')))
    with pytest.raises(ValueError, match='index labels'):
        model.loss(_inputs()[:1], samples([[0.5, 0.5, 0., 0.]]))
