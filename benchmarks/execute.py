"""Run workloads: subjects take turns, so that a disturbance hits all."""
from dataclasses import replace
from statistics import median
from typing import Callable, Dict, List

from .cases import Workload
from .worker import Failure, Worker


def run_workload(workload: Workload, device: str, threads: int, repeats: int,
                 say: Callable[[str], None]) -> List[Dict[str, object]]:
    """Time every case of a workload.

    Args:
        workload (Workload): What to run.
        device (str): 'cpu' or 'cuda'.
        threads (int): Of torch, for each subject.
        repeats (int): Timed runs of a case that has no number of its own.
        say (Callable): Takes progress messages.

    Returns:
        list[dict]: For each case its settings, ``runs`` (seconds),
        ``seconds`` (their median), ``first`` (the untimed first run, None if
        there was none), ``peak_bytes``, ``result``, or ``error``.
    """
    if workload.apart and len(workload.cases) > 1:
        return sum((run_workload(
            replace(workload, cases=[case]), device, threads, repeats, say)
                    for case in workload.cases), [])
    records, workers = [], []
    for case in workload.cases:
        record = dict(vars(case), name=case.name, workload=workload.key,
                      runs=[], first=None, peak_bytes=0, error=None)
        records.append(record)
        workers.append(_attempt(record, Worker, case, device, threads))
    try:
        for turn in range(1 + max(_wanted(r, repeats) for r in records)):
            for record, worker in zip(records, workers):
                if turn > _wanted(record, repeats) or record['error']:
                    continue
                if turn == 0 and not record['warmup']:
                    continue
                _keep(record, turn, _attempt(record, worker.run), say)
    finally:
        for worker in workers:
            if worker is not None:
                worker.close()
    for record in records:
        runs = record['runs']
        record['seconds'] = median(runs) if runs else None
    return records


def _wanted(record: dict, repeats: int) -> int:
    return record['repeats'] or repeats


def _attempt(record: dict, call: Callable, *args):
    try:
        return call(*args)
    except Failure as failure:
        record['error'] = failure.reason
    return None


def _keep(record: dict, turn: int, answer, say: Callable) -> None:
    if answer is None:
        say(f'  {record["name"]}: {record["error"]}')
        return
    if turn == 0:
        record['first'] = answer['seconds']
    else:
        record['runs'].append(answer['seconds'])
    record['peak_bytes'] = max(record['peak_bytes'], answer['peak'])
    # Of the first run: training changes the weights after it.
    record.setdefault('result', answer['result'])
    what = 'first run' if turn == 0 else f'run {turn}'
    say(f'  {record["name"]}: {what} {answer["seconds"]:.2f} s, peak '
        f'{answer["peak"] / 2**30:.1f} GiB')
