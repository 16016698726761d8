"""Measurements as tables and bars."""
import io
from pathlib import Path
from textwrap import fill
from typing import Dict, List, Optional

import matplotlib
import matplotlib.pyplot as plt

from projects.vifi_clip.files import write_bytes, write_json, write_text
from projects.vifi_clip_tools.cli.tables import markdown_table
from .workloads import BASELINE, Workload

Record = Dict[str, object]
matplotlib.use('Agg')
_COLOURS = dict(
    vifi='C0', plain='C3', encoder='C7', mmaction2='C1', xclip='C2')
_SUBJECTS = dict(  # in the picture, which is seen without the text
    vifi='this package', plain='the paper as described',
    encoder='image tower alone', mmaction2='MMAction2, no text',
    xclip='X-CLIP of transformers')
_NAME = 40  # characters of a line beside a bar
_TITLE = 60  # characters that fit above a panel
_PRECISIONS = {'bf16': 'bf16 autocast', 'pure-bf16': 'bf16 weights'}
_ABOUT = (
    "vifi is this package, and METHOD=... others in it; plain the paper's "
    'computation as described, every class encoded at 77 tokens in every '
    'step; encoder our image tower alone; '
    "mmaction2 its recognizer and head over OpenCLIP's tower, without text; "
    "xclip transformers' XCLIPModel. \"Of the peak\" is FLOP/s over the "
    'matrix-multiply peak: small towers are far from it.')


def ratio(record: Record, records: List[Record],
          baseline: str = f'{BASELINE} fp32') -> Optional[float]:
    """Return how many times faster than the case of the name ``baseline`` at
    the same work, None where that was not run."""
    for other in records:
        if (other['name'] == baseline and other['seconds']
                and record['seconds']):
            return other['seconds'] / record['seconds']
    return None


def difference(records: List[Record]) -> Optional[float]:
    """Return the largest difference between our fp32 result and the plain
    one's, as a share of the largest value."""
    results = {r['subject']: r['result'] for r in records
               if r['precision'] == 'fp32' and r.get('result')}
    if 'vifi' not in results or BASELINE not in results:
        return None
    plain = results[BASELINE]
    return max(abs(a - b) for a, b in zip(results['vifi'], plain)) / max(
        map(abs, plain))


def share(record: Record, peaks: Dict[str, float]) -> Optional[float]:
    """Return FLOP/s as a share of the machine's matrix-multiply peak."""
    peak = peaks.get(str(record['precision']).rpartition('-')[2])
    if not record.get('flop') or not record['seconds'] or not peak:
        return None
    return record['flop'] / record['seconds'] / peak


def label(record: Record, records: List[Record],
          name: Optional[str] = None) -> str:
    """Return a case's name, or ``name``, with what sets it apart from the
    others."""
    name = name or str(record['name'])
    for key, text in (('frames', '{:,} frames'), ('batch', 'batch {}'),
                      ('classes', '{:,} classes'), ('tune', 'tune={}')):
        if record[key] and len({str(r[key]) for r in records}) > 1:
            name += ', ' + text.format(record[key])
    return name


def picture_label(record: Record, records: List[Record]) -> str:
    """Return :func:`label` in words for those who know no names of ours."""
    subject, precision = record['subject'], str(record['precision'])
    name, _, apart = str(record['name']).partition(', ')
    if not name.startswith('METHOD='):
        name = (f'{_SUBJECTS[subject]}, '
                f'{_PRECISIONS.get(precision, precision)}')
    return label(record, records, f'{name}, {apart}' if apart else name)


def workload_table(workload: Workload, records: List[Record],
                   peaks: Dict[str, float]) -> str:
    """Write a title and a row for each case."""
    rows = []
    for record in records:
        name, runs = label(record, records), record['runs']
        if record['error']:
            rows.append([name, f'not measured: {record["error"]}', '', '', ''])
            continue
        spread = (f'{min(runs):.3f} to {max(runs):.3f}' if len(runs) > 1
                  else 'one run')
        times = ratio(record, records, workload.baseline)
        part = share(record, peaks)
        rows.append([
            name, f'{record["seconds"]:.3f} ({spread})',
            f'{times:.2f}' if times else '', f'{part:.0%}' if part else '',
            f'{record["peak_bytes"] / 2**30:.2f}'])
    text = f'### {workload.title}\n\n' + markdown_table(
        ['what', 'seconds: median (min to max)',
         f'times as fast as {workload.baseline}', 'of the peak',
         'memory, GiB'], rows, 'lllll')
    apart = difference(records)
    if apart is not None:
        text += ('\n\nLargest difference of the results of vifi and plain, '
                 f'fp32, relative to the largest: {apart:.1e}.')
    return text


def write(folder: Path, about: dict, peaks: Dict[str, float],
          workloads: List[Workload], records: List[Record]) -> None:
    """Write performance.json, .md and .png, as far as things have come;
    ``about`` is the machine, ``peaks`` FLOP/s by precision."""
    panels = [(w, own) for w in workloads
              if (own := [r for r in records if r['workload'] == w.key])]
    said = ', '.join(f'{name} {value / 1e9:,.0f} GFLOP/s'
                     for name, value in peaks.items())
    write_text(folder / 'performance.md', '\n\n'.join([
        markdown_table(['machine', ''], about.items(), 'll'),
        f'Matrix-multiply peak: {said}.', _ABOUT,
        *(workload_table(w, own, peaks) for w, own in panels)]) + '\n')
    write_json(folder / 'performance.json', dict(
        machine=about, peaks=peaks, records=[
            {k: v for k, v in r.items() if k != 'result'} for r in records]))
    measured = [(w, timed) for w, own in panels
                if (timed := [r for r in own if r['seconds']])]
    if measured:
        write_bytes(folder / 'performance.png', _picture(measured))


@plt.rc_context({'font.size': 8, 'axes.titlesize': 9})
def _picture(panels: list) -> bytes:
    """Draw a panel for each workload: seconds as bars, the fastest on top."""
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, squeeze=False, layout='constrained',
                                figsize=(12, 2 * rows))
    for axis in axes.flat[len(panels):]:
        axis.set_axis_off()
    for (workload, records), axis in zip(panels, axes.flat):
        records = sorted(records, key=lambda r: -r['seconds'])
        for y, record in enumerate(records):
            seconds, runs = record['seconds'], record['runs']
            times = ratio(record, records, workload.baseline)
            axis.barh(y, seconds, color=_COLOURS[record['subject']],
                      xerr=[[seconds - min(runs)], [max(runs) - seconds]])
            axis.text(max(runs), y, f' {seconds:.2f} s' + (
                f' ({times:.1f}x)' if times else '') +
                f', {record["peak_bytes"] / 2**30:.1f} GiB', va='center')
        axis.set_yticks(range(len(records)), [
            fill(picture_label(r, records), _NAME) for r in records])
        axis.set(title=fill(workload.title, _TITLE), xlabel='seconds',
                 xlim=(0, 1.7 * max(max(r['runs']) for r in records)))
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=90)
    plt.close(figure)
    return out.getvalue()
