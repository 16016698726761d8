"""Measurements as points for ``tools/scale_model.py``."""
import inspect
from typing import Dict, List

import torch

from projects.vifi_clip.models import CLIPTextClassifier
from projects.vifi_clip.models.text_tower import padded_tokens, plan_buckets
from .cases import Case
from .flops import prompt_lengths

_ARCH = 'ViT-B-16'  # what the model on paper is of
_KINDS = dict(view='eval_view', step='train_step')


def points(records: List[Dict[str, object]],
           cases: List[Case]) -> List[Dict[str, object]]:
    """Ours in fp32, as the model on paper takes them.

    Args:
        records (list[dict]): Of :func:`run_workload`.
        cases (list[Case]): Their cases.

    Returns:
        list[dict]: Time is that of a micro-batch; ``tokens`` the mean of the
        prompts, since each runs to (nearly) its own end.
    """
    found = []
    for record, case in zip(records, cases):
        if (case.subject != 'vifi' or case.precision != 'fp32'
                or case.work not in _KINDS or not record['seconds']
                or not str(case.arch).startswith(_ARCH)):
            continue
        lengths = prompt_lengths(case)
        tokens = round(sum(lengths) / len(lengths))
        found.append(
            dict(
                workload=_KINDS[case.work],
                frames=case.frames,
                batch=case.batch,
                classes=case.classes,
                tune=case.tune if case.work == 'step' else 'none',
                tokens=tokens,
                class_chunk=_chunk(case, lengths),
                accumulation=case.accumulate,
                text_once=case.once,
                bytes=4,
                seconds=record['seconds'] / case.accumulate,
                peak_bytes=record['peak_bytes']))
    return found


def _chunk(case: Case, lengths: List[int]) -> int:
    """Classes whose activations are kept at a time; 0: all."""
    setting = inspect.signature(CLIPTextClassifier.__init__)
    most = setting.parameters['max_graph_tokens'].default
    tokens = torch.tensor(lengths)
    buckets = plan_buckets(tokens)
    if case.work != 'step' or padded_tokens(buckets, tokens) <= most:
        return 0
    # the pieces in which it encodes then
    return round(most / 4 / (sum(lengths) / len(lengths)))
