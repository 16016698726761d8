#!/usr/bin/env python
"""Measure on a GPU, within minutes, whether reading keeps it busy, and how
much of it the model uses; everything goes into one JSON. gpu.sh calls this.

    python benchmarks/gpu.py videos/*.mp4 --out gpu.json

Parts: the peak of its matrix products; a training step and views with frames
in memory; and training from files (H.264 with B frames, 340 x 256, 10 s) by
MMAction2's way of reading, by ours, and by ours from packed files.
"""
import argparse
import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip.files import write_json  # noqa: E402
from projects.vifi_clip_tools.cli.main import prepare  # noqa: E402
from projects.vifi_clip_tools.cli.parsing import positive_int  # noqa: E402

# Dense bf16 products of the data sheets, in FLOP/s.
DATA_SHEETS = {'A100': 312e12, 'H100': 989e12, 'H200': 989e12}
_FRAMES = 16
_TINY = dict(
    embed_dim=32, quick_gelu=True,
    vision_cfg=dict(image_size=224, layers=1, width=64, head_width=32,
                    patch_size=56),
    text_cfg=dict(context_length=77, vocab_size=49408, width=32, heads=2,
                  layers=1))


class Clock:
    """Times the work that a device does between two calls."""

    def __init__(self, device: str) -> None:
        import torch
        self._cuda = torch.cuda if device == 'cuda' else None

    def mark(self) -> Any:
        """Return a mark behind all work that was given to the device."""
        if self._cuda is None:
            return time.perf_counter()
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: Any, end: Any) -> float:
        """Return the seconds from one mark to another."""
        if self._cuda is None:
            return end - start
        return start.elapsed_time(end) / 1e3

    def wait(self) -> float:
        """Wait until the device has done all; return the time."""
        if self._cuda is not None:
            self._cuda.synchronize()
        return time.perf_counter()


def run_for(seconds: float, call: Callable[[], Any], clock: Clock,
            warm_up: int = 3) -> Dict[str, float]:
    """Call again and again for so long; returns ``calls_per_second``, and as
    ``busy`` the share of the time between the marks around the device's work,
    for calls that return these."""
    for _ in range(warm_up):
        call()
    start, marks = clock.wait(), []
    while time.perf_counter() < start + seconds or not marks:
        marks.append(call())
        if len(marks) % 8 == 0:
            clock.wait()  # or the host would run far ahead
    spent = clock.wait() - start
    busy = sum(clock.between(*pair) for pair in marks) / spent
    return dict(calls_per_second=len(marks) / spent, busy=busy)


def _marked(call: Callable[[], Any], clock: Clock) -> Callable[[], tuple]:
    def marked() -> tuple:
        start = clock.mark()
        call()
        return start, clock.mark()
    return marked


def _case(args: argparse.Namespace, **kwargs: Any) -> Any:
    from benchmarks.workloads import Case
    return Case('vifi', **{**dict(
        batch=args.batch, frames=_FRAMES, arch=args.arch, precision='bf16',
        classes=5 if args.tiny else 400), **kwargs})


def peaks(args: argparse.Namespace) -> Dict[str, Any]:
    """Describe the machine and measure its matrix products."""
    from benchmarks.speed import _SIZES, survey
    sizes = [(64, 64, 64)] if args.tiny else _SIZES[args.device]
    about, found = survey(args.arch, args.device, os.cpu_count() or 1, sizes,
                          5)
    return dict(machine=dict(about, arch=str(about['arch'])), peaks=found)


def step_in_memory(args: argparse.Namespace) -> Dict[str, Any]:
    """Train on frames in memory: FLOP/s as shares of the measured peak and of
    the data sheet's."""
    from benchmarks.subjects import build
    from benchmarks.workloads import flop_of
    case, clock = _case(args, work='step'), Clock(args.device)
    rate = run_for(args.seconds, _marked(build(case, args.device), clock),
                   clock)['calls_per_second']
    flops = flop_of(case) * rate
    sheet = next((value for name, value in DATA_SHEETS.items()
                  if name in args.report['machine'].get('gpu', '')), None)
    return dict(
        samples_per_second=args.batch * rate, flops=flops,
        of_measured_peak=flops / args.report['peaks']['bf16'],
        model_flops_utilisation=flops / sheet if sheet else None)


def views(args: argparse.Namespace) -> Dict[str, float]:
    """Test on frames in memory: views a second; the paper has 71.1."""
    from benchmarks.subjects import build
    clock = Clock(args.device)
    found = {}
    for precision in 'fp32', 'bf16', 'pure-bf16':
        call = build(_case(args, precision=precision), args.device)
        found[precision] = args.batch * run_for(
            args.seconds / 3, _marked(call, clock), clock)['calls_per_second']
    return found


class Files:
    """Samples of files without end, as a data set of torch."""

    def __init__(self, subject: str, paths: List[str]) -> None:
        self.subject, self.paths = subject, paths

    def __len__(self) -> int:
        return 10**7

    def __getitem__(self, index: int) -> dict:
        from benchmarks.feeding_subjects import read
        return read(self.subject, 'train',
                    self.paths[index % len(self.paths)], index)


def _batches(args: argparse.Namespace, subject: str) -> Iterator[dict]:
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader
    from benchmarks.feeding import file_of
    paths = [file_of(clip, subject) for clip in args.clips]
    return iter(DataLoader(
        Files(subject, paths), args.batch, num_workers=args.workers,
        collate_fn=pseudo_collate, multiprocessing_context='fork',
        pin_memory=args.device == 'cuda'))


def from_files(args: argparse.Namespace, subject: str) -> Dict[str, Any]:
    """Train from files: samples a second, and the share of the time in which
    the device computes."""
    from benchmarks.subjects import training_step
    clock = Clock(args.device)
    step = training_step(_case(args, work='step'), args.device)
    batches = _batches(args, subject)

    def call() -> tuple:
        data = next(batches)
        return _marked(lambda: step(data), clock)()

    # Until every worker has opened its first files.
    found = run_for(args.seconds, call, clock,
                    warm_up=3 + 2 * args.workers // args.batch)
    return dict(samples_per_second=args.batch * found['calls_per_second'],
                device_busy=found['busy'])


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure part after part, and write what there is after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add('videos', nargs='*', help='whose content is read; a synthetic one if '
        'none is given')
    add('--out', type=Path, default='gpu.json')
    add('--clips', type=Path, default='work_dirs/gpu_clips',
        help='folder of the clips, kept for the next run')
    add('--batch', type=positive_int, default=16)
    add('--workers', type=positive_int, help='default: the usable cores')
    add('--seconds', type=float, default=25., help='of each part')
    add('--limit', type=float, default=480., help='seconds after which no '
        'part is begun')
    add('--tiny', action='store_true', help='a tiny model on the CPU: whether '
        'everything runs')
    args = parser.parse_args(argv)
    prepare()
    args.device, args.arch = 'cuda', 'ViT-B-16-quickgelu'
    if args.tiny:
        args.device, args.arch, args.seconds, args.batch = 'cpu', _TINY, .3, 2
    _run(args)
    return args.report


def _run(args: argparse.Namespace) -> None:
    import torch

    from benchmarks.clips import make_clips
    from benchmarks.feeding import SUBJECTS
    from benchmarks.subjects import synthetic_video
    from projects.vifi_clip.datasets.loader_settings import usable_cores
    start = time.monotonic()
    if args.device == 'cuda' and not torch.cuda.is_available():
        sys.exit('no GPU here; --tiny runs everything on the CPU')
    args.workers = args.workers or usable_cores()
    report: Dict[str, Any] = dict(
        batch=args.batch, workers=args.workers, frames=_FRAMES, errors={})
    args.report, number = report, count(1)

    def part(name: str, call: Callable[..., Any], *more: Any) -> Any:
        if time.monotonic() - start > args.limit:
            report['errors'][name] = 'no time was left'
            return None
        try:
            return call(args, *more)
        except Exception as error:  # of any library
            report['errors'][name] = f'{type(error).__name__}: {error}'
            return None
        finally:
            print(f'[{next(number)}] {name}: {time.monotonic() - start:.0f} '
                  's since the start', flush=True)
            if args.device == 'cuda':
                torch.cuda.empty_cache()

    report.update(part('peaks', peaks) or dict(machine={}, peaks={}))
    args.clips = part('clips', lambda _: make_clips(
        args.videos or [synthetic_video()], args.clips,
        codecs=['H.264, B frames'])) or []
    args.clips = [c for c in args.clips if c.codec != 'as given']
    for name, call, *more in (
            ('step', step_in_memory), ('views', views),
            *((f'from files: {name}', from_files, name)
              for name in SUBJECTS)):
        report[name] = part(name, call, *more)
        write_json(args.out, report)
    print(f'Written: {args.out}')
    if report['errors']:
        sys.exit('error: without ' + '; '.join(
            f'{name} ({why})' for name, why in report['errors'].items()))


if __name__ == '__main__':
    main()
