"""Measurements as bars."""
import io
from typing import List, Optional

from .cases import Workload
from .tables import Record, label, ratio

_COLOURS = dict(
    vifi='C0', plain='C3', encoder='C7', mmaction2='C1', xclip='C2')


def draw(workloads: List[Workload], records: List[Record]) -> Optional[bytes]:
    """A panel for each workload: seconds as bars, memory beside them.

    Args:
        workloads (list): In order.
        records (list): Of all workloads that were run.

    Returns:
        bytes, optional: A PNG; None if nothing was measured.
    """
    panels = [(workload, part) for workload in workloads
              if (part := [r for r in records if r['seconds']
                           and r['workload'] == workload.key])]
    if not panels:
        return None
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, squeeze=False, figsize=(5.2 * columns, 2.6 * rows),
        layout='constrained')
    for axis in axes.flat[len(panels):]:
        axis.set_axis_off()
    for (workload, part), axis in zip(panels, axes.flat):
        _bars(axis, workload.title, part)
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=90)
    plt.close(figure)
    return out.getvalue()


def _bars(axis, title: str, records: List[Record]) -> None:
    """Medians with their spread, the fastest on top."""
    records = sorted(records, key=lambda r: -r['seconds'])
    for place, record in enumerate(records):
        seconds, runs = record['seconds'], record['runs']
        axis.barh(
            place, seconds, color=_COLOURS[record['subject']],
            xerr=[[seconds - min(runs)], [max(runs) - seconds]],
            error_kw=dict(lw=1))
        times = ratio(record, records)
        text = f' {seconds:.2f} s'
        text += '' if times is None else f' ({times:.1f}x)'
        text += f', {record["peak_bytes"] / 2**30:.1f} GiB'
        axis.text(max(runs), place, text, va='center', fontsize=7)
    labels = [label(r, records).replace(', ', '\n') for r in records]
    axis.set_yticks(range(len(records)), labels, fontsize=7)
    axis.set_title(title, fontsize=8)
    axis.set_xlim(0, 1.6 * max(max(r['runs']) for r in records))
    axis.set_xlabel('seconds', fontsize=7)
    axis.tick_params(axis='x', labelsize=7)
