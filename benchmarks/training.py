"""Optimizer steps, as MMEngine takes them."""
from typing import Callable

import torch
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from .cases import Case
from .inputs import batch, frames_of, image_size, precision
from .plain import PlainViFiCLIP
from .subjects import build_recognizer

# The paper's; the rate does not matter to time.
_ADAMW = dict(
    type='AdamW', lr=1e-6, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.001)


def _vifi_step(case: Case, device: str) -> Callable:
    model = build_recognizer(case, device)
    dtype = 'bfloat16' if case.precision == 'bf16' else 'float32'
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='mmaction.AutocastOptimWrapper',
            dtype=dtype,
            accumulative_counts=case.accumulate,
            optimizer=dict(_ADAMW, fused=True)))
    model.train()
    data = batch(frames_of(case, image_size(case)), range(case.batch))
    tell = _accumulation(model, wrapper) if case.once else lambda: None

    def call() -> Tensor:
        for _ in range(case.accumulate):
            tell()
            losses = model.train_step(data, wrapper)
        return losses['loss'].detach()

    return call


def _accumulation(model, wrapper) -> Callable[[], None]:
    """What the runner's hook does before each micro-batch."""
    from types import SimpleNamespace

    from projects.vifi_clip.engine.hooks import TextAccumulationHook
    hook = TextAccumulationHook()
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper)
    return lambda: hook.before_train_iter(runner, 0)


def _plain_step(case: Case, device: str) -> Callable:
    recognizer = build_recognizer(case, 'cpu')
    model = PlainViFiCLIP(recognizer, case.frames).to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, **{k: v for k, v in _ADAMW.items() if k != 'type'})
    frames = frames_of(case, image_size(case))
    labels = torch.arange(case.batch, device=device)

    def call() -> Tensor:
        for _ in range(case.accumulate):
            with precision(case, device):
                loss = model(frames.to(device), labels)
            (loss / case.accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return call


BUILDERS = dict(vifi=_vifi_step, plain=_plain_step)
