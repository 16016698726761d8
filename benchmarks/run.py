"""``tools/benchmark.py``: how fast, against what, and how near the limit."""
import argparse
import os
from pathlib import Path
from typing import List, Optional, Sequence

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.cli.environment import prepare
from projects.vifi_clip_tools.cli.options import HelpFormatter


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Measure time and memory of evaluation and training '
        'against the plain computation of the paper, MMAction2 and '
        "transformers' X-CLIP, on this machine and in one run",
        epilog='examples:\n  vifi-clip benchmark --quick\n'
        '  vifi-clip benchmark --list\n'
        '  vifi-clip benchmark --device cuda --out work_dirs/benchmark_gpu',
        formatter_class=HelpFormatter)
    parser.add_argument(
        '--quick', action='store_true',
        help='a view and a training step of ours against the plain '
        'computation alone: about two minutes on two CPU cores in place of '
        'half an hour')
    parser.add_argument(
        '--only', nargs='+', metavar='WORKLOAD',
        help='some workloads alone; --list shows them')
    parser.add_argument(
        '--list', action='store_true',
        help='list the workloads (--quick has others) and stop')
    parser.add_argument(
        '--arch', default='ViT-B-16-quickgelu',
        help='OpenCLIP architecture, or a .json like its own (default: '
        '%(default)s)')
    parser.add_argument(
        '--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--repeats', type=int, default=3,
        help='timed runs of each (default: %(default)s)')
    parser.add_argument(
        '--threads', type=int,
        help="torch's threads (default: the CPU cores of this process)")
    parser.add_argument(
        '--video', help='read this file in place of a synthetic one')
    parser.add_argument(
        '--out', default='work_dirs/benchmark',
        help='folder for performance.json, .md and .png, written anew after '
        'each workload (default: %(default)s)')
    args = parser.parse_args(argv)
    for name in ('repeats', 'threads'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name} must be at least 1, got {value}')
    return args


def _choose(args: argparse.Namespace) -> list:
    """The workloads to run."""
    from .cases import all_workloads
    from projects.vifi_clip.architectures import get_arch_cfg
    arch = args.arch
    if arch.endswith('.json'):
        arch = get_arch_cfg(arch)
    else:
        get_arch_cfg(arch)  # refuses an unknown name
    workloads = all_workloads(arch, args.quick)
    known = [w.key for w in workloads]
    unknown = sorted(set(args.only or ()) - set(known))
    if unknown:
        raise UserError(f'--only: there is no workload {unknown}; choose '
                        f'among {known} (--quick has others)')
    return [w for w in workloads if not args.only or w.key in args.only]


def _device(wanted: str) -> str:
    import torch
    there = torch.cuda.is_available()
    if wanted == 'cuda' and not there:
        raise UserError('--device cuda: torch sees no GPU here')
    return 'cuda' if there and wanted != 'cpu' else 'cpu'


def _write(folder: Path, about: dict, peaks: dict, workloads: list,
           records: List[dict]) -> None:
    """All three files, as far as things have come."""
    import json

    from .picture import draw
    from .points import points
    from .tables import report
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    disk = AtomicLocalBackend()
    plain = [{k: v for k, v in r.items() if k != 'result'} for r in records]
    cases = [case for workload in workloads for case in workload.cases]
    text = json.dumps(
        dict(machine=about, peaks=peaks, records=plain,
             points=points(records, cases)), indent=1)
    disk.put(text.encode(), str(folder / 'performance.json'))
    disk.put(
        report(about, peaks, workloads, records).encode(),
        str(folder / 'performance.md'))
    picture = draw(workloads, records)
    if picture:
        disk.put(picture, str(folder / 'performance.png'))


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Measure, and print and write what was measured."""
    args = parse_args(argv)
    workloads = _choose(args)
    if args.list:
        for workload in workloads:
            print(f'{workload.key:14s} {workload.title}')
        return
    if args.video:
        _check_video(args.video)
    prepare()  # the same allocator for all, before the first child starts
    import torch

    from .execute import run_workload
    from .flops import work_of
    from projects.vifi_clip_tools.complexity.machine import describe
    from .tables import workload_table
    from .worker import peaks_of
    device = _device(args.device)
    threads = args.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    about, records = dict(arch=args.arch, **describe(device)), []
    peaks = peaks_of(device, threads)
    for number, workload in enumerate(workloads, 1):
        print(f'[{number}/{len(workloads)}] {workload.title}', flush=True)
        new = run_workload(workload, device, threads, args.repeats,
                           lambda text: print(text, flush=True))
        for record, case in zip(new, workload.cases):
            record['flop'] = work_of(case)
        records += new
        print('\n' + workload_table(workload, new, peaks) + '\n', flush=True)
        _write(folder, about, peaks, workloads, records)
    print(f'Written: {folder}/performance.md, .json, .png')


def _check_video(path: str) -> None:
    from .video_file import VIDEO
    if not os.path.isfile(path):
        raise FileNotFoundError(f'--video {path}: no such file')
    import av
    try:
        with av.open(path) as container:
            next(container.decode(video=0))
    except (av.error.FFmpegError, StopIteration, IndexError) as error:
        raise ValueError(f'--video {path} is no video that can be read: '
                         f'{error}') from error
    os.environ[VIDEO] = os.path.abspath(path)
