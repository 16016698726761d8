#!/usr/bin/env python
"""Measure time and memory of evaluation and training against the plain
computation of the paper, MMAction2 and transformers' X-CLIP, on this machine
and in one run.

    python benchmarks/speed.py --quick      # two to three minutes
    python benchmarks/speed.py --list
    python benchmarks/speed.py --device cuda --out work_dirs/benchmark_gpu
"""
import argparse
import contextlib
import os
import platform
import sys
from concurrent.futures import Executor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.workloads import (  # noqa: E402
    Workload, all_workloads, flop_of)
from projects.vifi_clip_tools.cli.main import prepare  # noqa: E402
from projects.vifi_clip_tools.cli.parsing import positive_int  # noqa: E402
from projects.vifi_clip_tools.complexity import measure  # noqa: E402

# Matrix products at which CPU and GPU libraries come close to their best.
_SIZES = dict(
    cpu=((2048, 2048, 2048), (4096, 4096, 4096), (3152, 768, 3072)),
    cuda=((8192, 8192, 8192), (16384, 4096, 4096)))


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Measure, and print and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add('--quick', action='store_true', help='a view and a training step of '
        'ours against the plain one alone')
    add('--only', nargs='+', metavar='WORKLOAD', help='some workloads alone; '
        '--list shows them')
    add('--list', action='store_true', help='list the workloads (--quick has '
        'others) and stop')
    add('--arch', default='ViT-B-16-quickgelu', help='architecture of '
        'OpenCLIP, or a .json like its')
    add('--device', choices=['cpu', 'cuda'], default='cpu')
    add('--repeats', type=positive_int, default=3,
        help='timed runs of each (default: %(default)s)')
    add('--threads', type=positive_int,
        help="torch's threads (default: the usable cores)")
    add('--video', help='read this file, not a synthetic one')
    add('--out', type=Path, default='work_dirs/benchmark', help='folder for '
        'performance.json, .md and .png, written anew after each workload')
    args = parser.parse_args(argv)
    prepare()  # the same allocator for all, before any child
    from benchmarks import report
    from projects.vifi_clip.architectures import get_arch_cfg
    from projects.vifi_clip.datasets.loader_settings import usable_cores
    cfg = get_arch_cfg(args.arch)  # refuses an unknown name
    workloads = all_workloads(
        cfg if args.arch.endswith('.json') else args.arch, args.quick)
    keys = [workload.key for workload in workloads]
    if args.list:
        print('\n'.join(f'{w.key:14s} {w.title}' for w in workloads))
        return
    if unknown := set(args.only or ()) - set(keys):
        parser.error(f'--only {min(unknown)}: choose among {keys}')
    if args.video and not os.path.isfile(args.video):
        parser.error(f'--video {args.video}: no such file')
    workloads = [w for w in workloads if w.key in (args.only or keys)]
    threads = args.threads or usable_cores()
    with measure.new_process() as pool:
        about, peaks = pool.submit(survey, args.arch, args.device, threads,
                                   _SIZES[args.device], args.repeats).result()
    records: List[dict] = []
    for number, workload in enumerate(workloads, 1):
        print(f'[{number}/{len(workloads)}] {workload.title}', flush=True)
        new = run_workload(workload, args.repeats, args.device, threads,
                           args.video)
        records += new
        print('\n' + report.workload_table(workload, new, peaks) + '\n',
              flush=True)
        report.write(args.out, about, peaks, workloads, records)
    print(f'Written: {args.out}/performance.md, .json, .png')


def survey(arch: str, device: str, threads: int, sizes: Sequence[tuple],
           repeats: int) -> tuple:
    """Describe the machine, and measure its matrix-multiply peaks in FLOP/s
    by precision: the best of several products, by median."""
    import torch

    from projects.vifi_clip.datasets.loader_settings import usable_cores
    torch.set_num_threads(threads)
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    about = dict(
        arch=arch, device=device, cpu=measure.cpu_name(),
        cores=usable_cores(), threads=threads,
        memory_gib=round(memory / 2**30, 1),
        system=f'{platform.system()} {platform.machine()}',
        python=platform.python_version(), **_versions(),
        load_average=round(os.getloadavg()[0], 2),
        **{key: ' '.join(f'{name}={value}' for name, value
                         in os.environ.items() if name.startswith(prefix))
           for key, prefix in (('allocator', 'MALLOC_'), ('omp', 'OMP_'))})
    if device == 'cuda':
        about['gpu'] = torch.cuda.get_device_name()
    peaks: Dict[str, float] = {}
    for name, dtype in dict(fp32=torch.float32, bf16=torch.bfloat16).items():
        for m, k, n in sizes:
            a = torch.randn(m, k, device=device, dtype=dtype)
            b = torch.randn(n, k, device=device, dtype=dtype)
            seconds = [measure.timed(lambda: torch.mm(a, b.T), device)[0]
                       for _ in range(1 + repeats)]
            peaks[name] = max(peaks.get(name, 0.),
                              2 * m * k * n / median(seconds[1:]))
    return about, peaks


def _versions() -> Dict[str, str]:
    """Return those of the packages that are compared, if installed."""
    found = {}
    for name in 'torch', 'open_clip_torch', 'transformers':
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def run_workload(workload: Workload, repeats: int, device: str, threads: int,
                 video: Optional[str] = None) -> List[Dict[str, Any]]:
    """Time every case of a workload: subjects take turns, so that a
    disturbance hits all.

    Returns:
        list[dict]: For each case its settings, ``runs`` (seconds),
        ``seconds`` (their median), ``first`` (the untimed first run, None if
        there was none), ``peak_bytes``, ``flop``, ``result``, or ``error``.
    """
    from benchmarks import subjects
    if workload.apart and len(workload.cases) > 1:
        return [record for case in workload.cases for record in run_workload(
            replace(workload, cases=[case]), repeats, device, threads, video)]
    records = [dict(vars(case), name=case.name, workload=workload.key,
                    runs=[], first=None, seconds=None, peak_bytes=0,
                    error=None, repeats=case.repeats or repeats,
                    flop=flop_of(case)) for case in workload.cases]
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(measure.new_process()) for _ in records]
        for case, record, pool in zip(workload.cases, records, pools):
            _call(record, pool, subjects.start, case, device, threads, video)
        for turn in range(1 + max(r['repeats'] for r in records)):
            for record, pool in zip(records, pools):
                if turn <= record['repeats'] and (turn or record['warmup']):
                    answer = _call(record, pool, subjects.run, device)
                    if answer:
                        _note(record, turn, answer)
    return records


def _call(record: dict, pool: Executor, *call: Any) -> Any:
    """Call a function in a subject's process, unless it failed before."""
    if record['error']:
        return None
    try:
        return pool.submit(*call).result()
    except Exception as error:  # of any library that is measured
        record['error'] = measure.reason(error)
        print(f'  {record["name"]}: {record["error"]}', flush=True)
        return None


def _note(record: dict, turn: int, answer: dict) -> None:
    """Add a run to a record; that of turn 0 is not timed."""
    seconds = answer['seconds']
    if turn:
        record['runs'].append(seconds)
        record['seconds'] = median(record['runs'])
    else:
        record['first'] = seconds
    record['peak_bytes'] = max(record['peak_bytes'], answer['peak'])
    # Of the first run: training changes the weights after it.
    record.setdefault('result', answer['result'])
    print(f'  {record["name"]}: run {turn or "0, untimed"}, {seconds:.2f} s, '
          f'peak {answer["peak"] / 2**30:.1f} GiB', flush=True)


if __name__ == '__main__':
    main()
