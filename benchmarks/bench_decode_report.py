"""What ``tools/bench_decode.py`` says about its figures."""
import os
import platform
from pathlib import Path
from typing import Any, Dict, List

# Config lines of each reader that has transforms.
LINES = dict(
    decord=("dict(type='DecordInit')", "dict(type='DecordDecodeOnce')"),
    pyav=("dict(type='PyAVInit')", "dict(type='PyAVDecodeOnce')"),
    opencv=("dict(type='OpenCVInit')", "dict(type='OpenCVDecodeOnce')"))
LINES['decord2'] = LINES['decord']  # imported by the same name
_CLOSE = 1.05  # a reader this near to the best is as good


def describe_machine() -> Dict[str, Any]:
    """What the times are of."""
    from projects.vifi_clip.datasets.loader_settings import usable_cores
    return dict(cores=usable_cores(), cpu=_cpu(), system=platform.platform(),
                python=platform.python_version(),
                load=list(os.getloadavg()) if hasattr(os, 'getloadavg')
                else None)


def _cpu() -> str:
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def verdict(found: List[dict], tolerance: float) -> str:
    """How one reader's frames compare with the first reader's.

    Args:
        found (list[dict]): One of each video.
        tolerance (float): Mean grey levels.

    Returns:
        str: Empty if they agree, or why they do not.
    """
    for one in found:
        name = Path(one['video']).name
        if 'error' in one:
            return f'cannot read {name}: {one["error"]}'
        if 'mean' not in one:
            return f'{name}: frames of another size, {one["shape"]}'
        if one['mean'] > tolerance:
            return f'{name}: {one["mean"]:.1f} grey levels apart on average'
    return ''


def recommend(figures: Dict[str, Any]) -> Dict[str, Any]:
    """The reader for data workers: the one that costs least CPU time with one
    thread (workers keep all cores busy, so that is what sets the clips a
    second, and other jobs disturb it less than the time on the clock), among
    those that agree with the first; or the first that is as good.

    Returns:
        dict: ``reader`` and ``config`` (lines); ``faster``, a reader without
        transforms that costs less still, or None.
    """
    agree = {name for name, found in figures['agreement'].items()
             if not verdict(found, figures['tolerance'])}
    rows = [row for row in figures['rows']
            if row['reader'] in agree and not row['failed']]
    least = min((row['threads'] for row in rows), default=1)
    times = {row['reader']: row['cpu']['median'] for row in rows
             if row['threads'] == least}
    usable = {name: time for name, time in times.items() if name in LINES}
    if not usable:
        return dict(reader=None, config=[], faster=None)
    best = min(usable.values())
    reader = next(name for name in usable if usable[name] <= _CLOSE * best)
    faster = [name for name in times
              if name not in LINES and _CLOSE * times[name] < best]
    return dict(reader=reader, config=list(LINES[reader]),
                faster=faster[0] if faster else None)


def table(figures: Dict[str, Any]) -> str:
    """Everything for the terminal."""
    lines = [
        f'{figures["num_frames"]} frames of each of {len(figures["videos"])} '
        f'videos, ms a clip; {figures["machine"]["cpu"]}, '
        f'{figures["machine"]["cores"]} cores', '',
        f'{"reader":<24}{"threads":>8}{"median":>9}{"min":>8}{"max":>8}'
        f'{"CPU":>8}'
    ]
    for row in figures['rows']:
        name = f'{row["reader"]} {figures["readers"][row["reader"]]}'
        threads = 'own' if row['reader'] == 'opencv' else row['threads']
        if 'seconds' not in row:
            lines.append(f'{name:<24}{threads:>8}  failed')
            continue
        time = row['seconds']
        lines.append(f'{name:<24}{threads:>8}{time["median"]:>9.1f}'
                     f'{time["min"]:>8.1f}{time["max"]:>8.1f}'
                     f'{row["cpu"]["median"]:>8.1f}' +
                     (f'  ({row["failed"]} failed)' if row['failed'] else ''))
    for name, why in figures['absent'].items():
        lines.append(f'{name:<24} not usable here: {why}')
    lines += ['', *_agreement(figures), '', *_advice(figures)]
    return '\n'.join(lines)


def _agreement(figures: Dict[str, Any]) -> List[str]:
    first, *others = figures['agreement']
    lines = []
    for name in (first, *others):
        found = figures['agreement'][name]
        why = verdict(found, figures['tolerance'])
        if why:
            lines.append(f'{name} does NOT agree with {first}: {why}')
        elif name != first:
            most = max(one['mean'] for one in found)
            lines.append(f'{name} agrees with {first}: at most {most:.3f} '
                         'grey levels apart on average')
        counts = [(one.get('count'), other.get('count')) for one, other in
                  zip(found, figures['agreement'][first])]
        if any(a and b and a != b for a, b in counts):
            lines.append(f'{name} counts other frames than {first}: {counts}')
    return lines


def _advice(figures: Dict[str, Any]) -> List[str]:
    best = figures['recommended']
    if best['reader'] is None:
        return ['No reader with transforms read everything; nothing to '
                'recommend.']
    lines = [f'Recommended for data workers: {best["reader"]}']
    if best['reader'] == 'decord2':
        lines.append('  pip uninstall decord; pip install decord2')
    lines += [f'  {line},' for line in best['config']]
    if best['faster']:
        lines.append(f'{best["faster"]} costs less still; MMAction2 has no '
                     'transforms for it.')
    return lines
