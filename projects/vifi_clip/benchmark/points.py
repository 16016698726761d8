"""Measurements as points for ``tools/scale_model.py``."""
from typing import Dict, List

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
        found.append(
            dict(
                workload=_KINDS[case.work],
                frames=case.frames,
                batch=case.batch,
                classes=case.classes,
                tune=case.tune if case.work == 'step' else 'none',
                tokens=round(sum(lengths) / len(lengths)),
                accumulation=case.accumulate,
                text_once=case.once,
                bytes=4,
                seconds=record['seconds'] / case.accumulate,
                peak_bytes=record['peak_bytes']))
    return found
