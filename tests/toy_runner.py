"""A runner over a two-parameter model, for what concerns hooks and files."""
from pathlib import Path

import torch
from mmaction.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

RUNTIME = Path(__file__).parents[1] / 'configs/_base_/runtime.py'


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """Regression; in test it answers the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, inputs, targets, mode='tensor', **kwargs):
        output = self.linear(inputs)[:, 0]
        if mode == 'loss':
            return dict(loss=((output - targets)**2).mean())
        return [dict(output=value) for value in output]


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """The next of the numbers that a test sets; an exception is raised."""

    scores = []

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results) -> dict:
        score = self.scores.pop(0)
        if isinstance(score, BaseException):
            raise score
        return dict(score=score)


class ToyData(torch.utils.data.Dataset):
    """Six fixed samples."""
    metainfo = {}

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(6, 3, generator=draw)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, idx) -> dict:
        return dict(inputs=self.inputs[idx], targets=self.inputs[idx].sum())


def toy_runner(work_dir, dataset=None, epochs=2, val=False, batch_size=2,
               optim_wrapper=None, loader=(), checkpoint=(), **kwargs
               ) -> Runner:
    """A runner with the hooks of configs/_base_/runtime.py. ``loader``
    changes both data loaders, ``checkpoint`` the hook; with
    ``test_evaluator`` it can test."""
    runtime = Config.fromfile(RUNTIME)
    loader = {**dict(
        batch_size=batch_size, dataset=dataset or ToyData(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate')), **dict(loader)}
    hooks = runtime.default_hooks
    hooks.checkpoint.save_best = 'score' if val else None
    hooks.checkpoint.update(dict(checkpoint), rule='greater')
    settings = dict(
        model=dict(type='ToyModel'), work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=optim_wrapper or dict(
            optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=dict(type='LinearLR', start_factor=0.5, end=2),
        default_hooks=hooks, custom_hooks=runtime.custom_hooks,
        default_scope='mmaction', randomness=dict(seed=0),
        log_level='WARNING', experiment_name=f'toy{work_dir}')
    if val:
        settings.update(val_dataloader=dict(loader), val_cfg=dict(),
                        val_evaluator=dict(type='ToyMetric'))
    if 'test_evaluator' in kwargs:
        settings.update(test_dataloader=dict(loader), test_cfg=dict())
    return Runner(**{**settings, **kwargs})
