#!/usr/bin/env python
"""Measure what it costs to feed a model: CPU time from a file to a sample, by
MMAction2's DecordDecode and operators, by ours, and by ours from packed files;
with TRANSFORMS=device, to what is handed to the device.

    python benchmarks/feeding.py videos/*.mp4 --out work_dirs/feeding
    python benchmarks/feeding.py --quick    # a synthetic video, two codecs

Each video is read as it is and encoded at 340 x 256 in several codecs, and
all of these packed (`vifi-clip pack`). Subjects have a process each and take
turns, with the same frames; memory and whole training steps follow. Linux.
"""
import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

from pebble import ProcessPool
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import CODECS, Clip, make_clips  # noqa: E402
from benchmarks.decode import add_videos, chosen_videos  # noqa: E402
from projects.vifi_clip.files import write_json, write_text  # noqa: E402
from projects.vifi_clip_tools.cli.main import prepare  # noqa: E402
from projects.vifi_clip_tools.cli.parsing import positive_int  # noqa: E402
from projects.vifi_clip_tools.cli.tables import markdown_table  # noqa: E402
from projects.vifi_clip_tools.pack.options import Encoding  # noqa: E402

_HANG = 120  # seconds after which a reader counts as hanging
BASELINE, *OURS = SUBJECTS = (
    'mmaction2', 'ours', 'packed', 'ours, device', 'packed, device')
WORKS = dict(train='a training sample', test='4x3 views')
PARTS = ('clips', 'steps', 'memory')
# Of a sample, the columns beside its total.
_PARTS = {('ours', 'transforms'): 'behind the decoder',
          ('ours, device', 'transforms'): 'behind the decoder',
          ('ours, device', 'device'): "the device's part, on this CPU"}


class Subjects:
    """A process for each subject, begun anew where a reader hangs or
    crashes."""

    def __init__(self) -> None:
        context = multiprocessing.get_context('spawn')
        self._pools = {name: ProcessPool(1, context=context)
                       for name in SUBJECTS}

    def __enter__(self) -> 'Subjects':
        return self

    def __exit__(self, *_: Any) -> None:
        for pool in self._pools.values():
            pool.stop()
            pool.join()

    def ask(self, subject: str, call: Callable, *args: Any,
            timeout: Optional[float] = _HANG) -> Any:
        """Call a function of feeding_subjects in a subject's process."""
        return self._pools[subject].schedule(
            call, (subject, *args), timeout=timeout).result()


def file_of(clip: Clip, subject: str) -> str:
    """Return the file that a subject reads of a clip."""
    return clip.packed if subject.startswith('packed') else clip.path


def measure_clips(clips: List[Clip], repeats: int) -> List[Dict[str, Any]]:
    """Read all clips in turns; returns for each clip and work its ``codec``,
    ``has_b_frames``, and by subject the fields of Sample, medians in
    milliseconds of CPU, or an ``error``."""
    from benchmarks.feeding_subjects import Sample, measure
    records = []
    with Subjects() as subjects:
        for number, clip in enumerate(tqdm(clips, unit='clip')):
            for work in WORKS:
                record: Dict[str, Any] = dict(
                    codec=clip.codec, clip=Path(clip.path).name, work=work,
                    has_b_frames=clip.has_b_frames)
                records.append(record)
                samples: Dict[str, list] = {name: [] for name in SUBJECTS}
                try:
                    for turn in range(1 + repeats):  # the first warms up
                        for name in SUBJECTS:
                            samples[name].append(subjects.ask(
                                name, measure, work, file_of(clip, name),
                                number, turn))
                except Exception as error:  # of any reader
                    record['error'] = (f'{name}: {type(error).__name__} '
                                       f'{error}').partition('\n')[0]
                    continue
                for name in SUBJECTS:
                    record[name] = {
                        part: median(values) for part, values in zip(
                            Sample._fields, zip(*samples[name][1:]))}
    return records


def measure_steps(clip: Clip, arch: str, threads: int, repeats: int
                  ) -> Dict[str, List[float]]:
    """Take whole training steps in turns; returns CPU seconds."""
    from benchmarks.feeding_subjects import train
    seconds: Dict[str, List[float]] = {name: [] for name in SUBJECTS}
    with Subjects() as subjects:
        for turn in range(1 + repeats):
            for name in SUBJECTS:
                spent = subjects.ask(name, train, file_of(clip, name), arch,
                                     threads, turn, timeout=None) / 1e3
                seconds[name] += [spent] if turn else []
    return seconds


def measure_memory(video: str, folder: Path, samples: int) -> List[float]:
    """Return the MiB of ours after each tenth of so many training samples, of
    short and small clips in all codecs."""
    from benchmarks.feeding_subjects import memory_over
    clips = make_clips([video], folder, (96, 72), frames=24)
    paths = [clip.path for clip in clips if clip.codec in CODECS]
    with Subjects() as subjects:
        return subjects.ask('ours', memory_over, paths, samples, timeout=None)


def _over(values: Sequence[float], digits: int) -> str:
    middle, low, high = (f'{value:.{digits}f}' for value in (
        median(values), min(values), max(values)))
    return f'{middle} ({low} to {high})'


def _groups(records: List[dict]) -> Dict[str, List[dict]]:
    """Order records by codec, and all with and without B frames."""
    groups = {kind: [r for r in records if r['codec'] == kind]
              for kind in ['as given', *CODECS]}
    for has in True, False:
        groups[f'all {"with" if has else "without"} B frames'] = [
            r for r in records if r['has_b_frames'] is has]
    return dict({k: v for k, v in groups.items() if v}, **{'all': records})


def table(records: List[dict], work: str) -> str:
    """Write the rows of one work."""
    rows = []
    measured = [r for r in records if r['work'] == work and 'error' not in r]
    for kind, group in _groups(measured).items():
        row = [kind, len(group), *(
            _over([r[name]['total'] for r in group], 0) for name in SUBJECTS)]
        row += [_over([r[BASELINE]['total'] / r[name]['total']
                       for r in group], 2) for name in OURS]
        rows.append([*row, *(_over([r[name][part] for r in group], 1)
                             for name, part in _PARTS)])
    return markdown_table([
        'clips', 'how many', 'MMAction2, ms', *(f'{s}, ms' for s in OURS),
        *(f'{s}: times as fast' for s in OURS),
        *(f'{subject}: {_PARTS[subject, part]}, ms'
          for subject, part in _PARTS)], rows)


def report(figures: Dict[str, Any]) -> str:
    """Write all figures as Markdown."""
    records = figures.get('clips', [])
    parts = ['; '.join(f'{k}: {v}' for k, v in figures['machine'].items())]
    parts += [f'### {title}\n\n{table(records, work)}'
              for work, title in WORKS.items() if records]
    parts += [f'Left out: {r["clip"]}, {WORKS[r["work"]]}: {r["error"]}'
              for r in records if 'error' in r]
    if steps := figures.get('steps'):
        parts.append('A training step, CPU seconds: ' + '; '.join(
            f'{name} {_over(spent, 2)}' for name, spent in steps.items()))
    if memory := figures.get('memory'):
        parts.append('MiB of a worker after each tenth of '
                     f'{figures["samples"]:,} samples: '
                     + ', '.join(f'{mib:.0f}' for mib in memory))
    return '\n\n'.join(parts) + '\n'


def machine() -> Dict[str, Any]:
    """Say what is measured on."""
    import av
    import decord
    import torch

    from projects.vifi_clip.datasets.loader_settings import usable_cores
    from projects.vifi_clip_tools.complexity.measure import cpu_name
    return dict(cpu=cpu_name(), cores=usable_cores(), torch=torch.__version__,
                av=av.__version__, decord=decord.__version__,
                load_at_the_start=round(os.getloadavg()[0], 1))


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure, print and write; returns the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add_videos(parser, '*', '; a synthetic one if none is given')
    add('--quick', action='store_true', help='two codecs, two turns, 200 '
        'samples for memory')
    add('--only', nargs='+', choices=PARTS, default=PARTS, help='some parts; '
        'what --out has of the others is kept')
    add('--codecs', nargs='*', choices=list(CODECS), help='default: all')
    add('--interval', type=positive_int, default=Encoding().interval,
        help='frames from one key frame of packed files to the next')
    add('--repeats', type=positive_int, default=5)
    add('--steps', type=positive_int, default=3, help='training steps')
    add('--arch', default='ViT-B-16-quickgelu', help='model of the steps: '
        "OpenCLIP's name, or a .json like its")
    add('--samples', type=positive_int, default=10_000, help='samples over '
        'which memory is watched')
    add('--out', type=Path, default='work_dirs/feeding', help='folder for '
        'feeding.json, feeding.md and the clips, which are kept for the next '
        'run')
    args = parser.parse_args(argv)
    if args.quick:
        args.codecs = args.codecs or list(CODECS)[:2]
        args.repeats, args.steps, args.samples = 2, 2, 200
    prepare()  # the same allocator for all, before any child
    from benchmarks.subjects import synthetic_video
    args.videos = args.videos or [synthetic_video()]
    videos = chosen_videos(parser, args)
    kept = args.out / 'feeding.json'
    figures = json.loads(kept.read_text()) if kept.exists() else {}
    figures['machine'] = machine()
    if 'memory' in args.only:
        figures.update(samples=args.samples, memory=measure_memory(
            videos[0], args.out / 'short', args.samples))
    if {'clips', 'steps'} & set(args.only):
        clips = make_clips(videos, args.out / 'clips', codecs=args.codecs,
                           interval=args.interval)
    if 'clips' in args.only:
        figures['clips'] = measure_clips(clips, args.repeats)
    if 'steps' in args.only:
        figures['steps'] = measure_steps(
            clips[0], args.arch, figures['machine']['cores'], args.steps)
    figures['machine']['load_at_the_end'] = round(os.getloadavg()[0], 1)
    write_json(kept, figures)
    write_text(args.out / 'feeding.md', report(figures))
    print(report(figures))
    return figures


if __name__ == '__main__':
    main()
