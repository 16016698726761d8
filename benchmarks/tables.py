"""Measurements as tables for people."""
from typing import Dict, List, Optional

from .cases import BASELINE, Workload

Record = Dict[str, object]
_MARK = '| --- | --- | --- | --- | --- |'


def ratio(record: Record, records: List[Record]) -> Optional[float]:
    """How many times faster than the plain computation in fp32 at the same
    work, None where that was not run."""
    for other in records:
        if (other['subject'] == BASELINE and other['precision'] == 'fp32'
                and other['seconds'] and record['seconds']):
            return other['seconds'] / record['seconds']
    return None


def difference(records: List[Record]) -> Optional[float]:
    """Largest difference between our fp32 result and the plain one's, as a
    share of the largest value."""
    results = {
        r['subject']: r['result']
        for r in records if r['precision'] == 'fp32' and r.get('result')
    }
    if 'vifi' not in results or BASELINE not in results:
        return None
    pairs = zip(results['vifi'], results[BASELINE])
    largest = max(abs(b) for b in results[BASELINE])
    return max(abs(a - b) for a, b in pairs) / largest


def label(record: Record, records: List[Record]) -> str:
    """A case's name with what sets it apart from the others."""
    name = str(record['name'])
    for key in ('frames', 'batch', 'classes', 'tune'):
        if len({str(r[key]) for r in records}) > 1:
            value = record[key]
            name += (f', tune={value}' if key == 'tune' else
                     f', batch {value}' if key == 'batch' else
                     f', {value:,} {key}')
    return name


def share(record: Record, peaks: Dict[str, float]) -> Optional[float]:
    """FLOP/s, as a share of the machine's matrix-multiply peak."""
    peak = peaks.get(str(record['precision']).rpartition('-')[2])
    if not record.get('flop') or not record['seconds'] or not peak:
        return None
    return record['flop'] / record['seconds'] / peak


def machine_table(about: Dict[str, object]) -> str:
    """What was measured on."""
    lines = [f'| {key} | {_said(value)} |' for key, value in about.items()]
    return '\n'.join(['| machine | |', '| --- | --- |', *lines])


def _said(value) -> str:
    if isinstance(value, dict):
        return ' '.join(f'{k}={v}' for k, v in value.items()) or 'default'
    return str(value)


def workload_table(workload: Workload, records: List[Record],
                   peaks: Dict[str, float]) -> str:
    """A title and a row for each case."""
    lines = [
        f'### {workload.title}', '',
        '| what | seconds: median (min to max) | times as fast as plain fp32 '
        '| of the peak | memory, GiB |', _MARK
    ]
    lines += [_row(record, records, peaks) for record in records]
    apart = difference(records)
    if apart is not None:
        lines += ['', 'Largest difference of the results of vifi and plain, '
                  f'fp32, relative to the largest: {apart:.1e}.']
    return '\n'.join(lines)


def _row(record: Record, records: List[Record],
         peaks: Dict[str, float]) -> str:
    name = label(record, records)
    if record['error']:
        return f'| {name} | not measured: {record["error"]} | | | |'
    runs = record['runs']
    seconds = f'{record["seconds"]:.3f} ({min(runs):.3f} to {max(runs):.3f})'
    if len(runs) == 1:
        seconds = f'{record["seconds"]:.3f} (one run)'
    times, part = ratio(record, records), share(record, peaks)
    return (f'| {name} | {seconds} | '
            f'{"" if times is None else f"{times:.2f}"} | '
            f'{"" if part is None else f"{100 * part:.0f}%"} | '
            f'{record["peak_bytes"] / 2**30:.2f} |')


def report(about: dict, peaks: Dict[str, float], workloads: List[Workload],
           records: List[Record]) -> str:
    """The whole as Markdown.

    Args:
        about (dict): Of :func:`describe`.
        peaks (dict): FLOP/s by precision.
        workloads (list): In order.
        records (list): Of all workloads that were run.
    """
    said = ', '.join(f'{name} {value / 1e9:,.0f} GFLOP/s'
                     for name, value in peaks.items())
    parts = [
        machine_table(about), f'Matrix-multiply peak: {said}.',
        'vifi is this package; plain the paper\'s computation as described, '
        'every class encoded at 77 tokens in every step; encoder our image '
        'tower alone; mmaction2 its recognizer and head over OpenCLIP\'s '
        'tower, without text; xclip transformers\' XCLIPModel. "Of the peak" '
        'is FLOP/s over the matrix-multiply peak: small towers are far from '
        'it.'
    ]
    for workload in workloads:
        own = [r for r in records if r['workload'] == workload.key]
        if own:
            parts.append(workload_table(workload, own, peaks))
    return '\n\n'.join(parts) + '\n'
