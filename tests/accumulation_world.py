"""A tiny model, micro-batches, and counts of what the text side ran."""
import copy
from types import SimpleNamespace

import torch
from tiny import build_model, samples


def batches_of(num, size=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [
        dict(inputs=[torch.randint(0, 256, (2, 3, 32, 32), generator=draw,
                                   dtype=torch.uint8) for _ in range(size)],
             data_samples=samples(
                 [[int(x)] for x in torch.randint(
                     0, 4, (size, ), generator=draw)]))
        for _ in range(num)]


def trained_model(**kwargs):
    torch.manual_seed(0)
    preprocessor = dict(mean=[127.] * 3, std=[60.] * 3, format_shape='NCHW')
    return build_model(data_preprocessor=preprocessor, **kwargs).train()


def count_text_runs(model):
    """Text encodings (of the longest sentence) and backward passes."""
    found = SimpleNamespace(forward=0, backward=0)
    text = getattr(model, 'module', model).cls_head.text_classifier.text

    def forward(module, args, output):
        found.forward += 1
        if output.requires_grad:
            output.register_hook(backward)

    def backward(grad):
        found.backward += 1

    text.ln_final.register_forward_hook(forward)
    return found


def assert_same(found, expected, rtol=1e-5):
    assert len(found) == len(expected) > 0
    for one, two in zip(found, expected):
        assert one.keys() == two.keys() and one
        text = [n for n in one if 'text_classifier' in n]
        assert any(two[n].abs().max() > 0 for n in text)
        for name, grad in one.items():
            scale = float(two[name].abs().max())
            torch.testing.assert_close(
                grad, two[name], rtol=rtol, atol=rtol * scale + 1e-9,
                msg=lambda m: f'{name}: {m}')


def loss_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model(**data, mode='loss')['loss_cls']


def gradients(model):
    return [{n: p.grad for n, p in model.named_parameters()
             if p.grad is not None}]
