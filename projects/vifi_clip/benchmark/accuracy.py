"""What each lever with a tolerance costs in accuracy, on one checkpoint."""
import copy
from typing import Dict, List, Optional, Sequence

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..engine.inference import apply_inference, check_inference

Lever = Dict[str, object]  # arguments of apply_inference

DEFAULT_LEVERS: Sequence[Lever] = (
    dict(precision='autocast'),
    dict(precision='bf16'),
    dict(precision='bf16', text_bf16=True),
    dict(precision='int8'),
    *(dict(token_merging=r) for r in (1, 2, 3, 4)),
    dict(precision='bf16', token_merging=2),
    dict(compile=True),
    dict(precision='bf16', compile=True),
    dict(precision='int8', compile=True),
)


def lever_costs(cfg: Config,
                checkpoint: Optional[str],
                levers: Sequence[Lever] = DEFAULT_LEVERS,
                single_view: bool = False,
                device: str = 'cpu') -> List[dict]:
    """Test a checkpoint under every lever, on the same pixels.

    The videos are decoded once; one copy of the model for each lever stays
    in memory.

    Args:
        cfg (Config): A recognizer's, with its ``test_dataloader``.
        checkpoint (str, optional): None for the model as its config builds
            it.
        levers (Sequence[dict]): Arguments of :func:`apply_inference`, one
            dict for each row.
        single_view (bool): The config's ``val_pipeline`` in place of all
            views. Defaults to False.
        device (str): Defaults to 'cpu'.

    Returns:
        list[dict]: The plain model in float32 first, then each lever, with
        ``lever`` (its name), ``settings``, ``videos`` (how many), ``top1``
        (%), ``agreement`` (% of videos with the plain model's best class)
        and ``max_difference`` (the greatest of any score, a probability).

    Raises:
        ValueError: A bad lever, or no val_pipeline where it is needed.
    """
    for lever in levers:
        check_inference(**{**_PLAIN, **lever})
    if single_view:
        if 'val_pipeline' not in cfg:
            raise ValueError(f'single_view needs a val_pipeline in '
                             f'{cfg.filename}')
        cfg = copy.deepcopy(cfg)
        cfg.test_dataloader.dataset.pipeline = cfg.val_pipeline
    models = _models(cfg, checkpoint, levers, device)
    labels, scores = _test(models, cfg)
    reference = scores[0]
    rows = []
    for lever, score in zip([{}, *levers], scores):
        rows.append(
            dict(
                lever=lever_name(lever),
                settings=dict(lever),
                videos=len(labels),
                top1=_percent(score.argmax(1) == labels),
                agreement=_percent(score.argmax(1) == reference.argmax(1)),
                max_difference=float((score - reference).abs().max())))
    return rows


_PLAIN = dict(
    precision='fp32', token_merging=0, compile=False, text_bf16=False)


def lever_name(lever: Lever) -> str:
    """Settings in short, e.g. ``'bf16, merging 2, compiled'``."""
    lever = {**_PLAIN, **lever}
    parts = [lever['precision']]
    if lever['token_merging']:
        parts.append(f'merging {lever["token_merging"]}')
    if lever['text_bf16']:
        parts.append('text too')
    if lever['compile']:
        parts.append('compiled')
    return ', '.join(parts)


def _models(cfg: Config, checkpoint: Optional[str], levers: Sequence[Lever],
            device: str) -> List[nn.Module]:
    from mmaction.apis import init_recognizer
    from mmengine.registry import init_default_scope
    init_default_scope('mmaction')
    plain = init_recognizer(cfg, checkpoint, device)
    return [
        plain,
        *(apply_inference(copy.deepcopy(plain), **lever) for lever in levers)
    ]


@torch.no_grad()
def _test(models: Sequence[nn.Module], cfg: Config):
    """Labels [videos], and each model's scores [videos, K]."""
    from mmengine.runner import Runner
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    labels: List[Tensor] = []
    scores: List[List[Tensor]] = [[] for _ in models]
    for batch in loader:
        labels += [sample.gt_label for sample in batch['data_samples']]
        for model, kept in zip(models, scores):
            # The samples are written to; their scores are taken at once.
            kept += [s.pred_score.cpu() for s in model.test_step(dict(batch))]
    return torch.cat(labels), [torch.stack(kept) for kept in scores]


def _percent(hits: Tensor) -> float:
    return 100 * float(hits.float().mean())
