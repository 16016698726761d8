"""``tools/bench_decode.py``: which reader suits these videos and machine."""
import argparse
import json
import os
import os.path as osp
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Optional, Sequence, Tuple

from projects.vifi_clip_tools.cli.options import HelpFormatter

READERS = ('decord', 'decord2', 'pyav', 'torchcodec', 'opencv')
_OWN_THREADS = ('opencv', )  # chooses itself how many
_VIDEO_LISTS = ('.txt', )


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the decode benchmark."""
    parser = argparse.ArgumentParser(
        description='Read sparse frames of your videos with every reader '
        'that is installed, taking turns; check that they agree; recommend '
        'one.',
        epilog='examples:\n  vifi-clip bench-decode videos/*.mp4\n'
        '  vifi-clip bench-decode data/k400/val.txt --root data/k400/videos',
        formatter_class=HelpFormatter)
    parser.add_argument('videos', nargs='+', help='video files, or one '
                        'list (.txt) of "path label" lines')
    parser.add_argument('--root', help="folder that a list's paths start "
                        "from (default: the list's)")
    parser.add_argument('--num-frames', type=int, default=16,
                        help='frames of a clip (default: 16)')
    parser.add_argument('--max-videos', type=int, default=8, help='how many '
                        'of a list to read, evenly spaced (default: 8)')
    parser.add_argument('--repeats', type=int, default=5,
                        help='times that each is read (default: 5)')
    parser.add_argument('--readers', nargs='+', choices=READERS,
                        metavar='READER', default=list(READERS),
                        help=f'among {", ".join(READERS)} (default: all)')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2],
                        help='decoding threads to try; PyAV takes as many as '
                        'it likes for any number above 1 (default: 1 2)')
    parser.add_argument('--tolerance', type=float, default=2., help='mean '
                        'difference of grey levels up to which readers agree '
                        '(default: 2)')
    parser.add_argument('--path', nargs='+', default=[], metavar='READER=DIR',
                        help='folder where a reader is installed (pip '
                        'install --target DIR), for decord2 beside decord')
    parser.add_argument('--out', help='write the figures to this .json file')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure, print a table and a recommendation; returns the figures.

    Raises:
        FileNotFoundError: A video or list is absent.
        ValueError: An option is out of range, or no reader is installed.
        UserError: No reader can read a video.
    """
    from .bench_decode_report import describe_machine, recommend, table
    args = parse_args(argv)
    paths = _check(args)
    videos = _videos(args)
    readers: Dict[str, '_Child'] = {}
    absent: Dict[str, str] = {}
    try:
        for name in dict.fromkeys(args.readers):
            child = _Child(name, paths.get(name))
            readers[name] = child
            if child.problem:
                absent[name] = child.problem
                readers.pop(name).close()
        if not readers:
            raise ValueError('no reader is installed: ' + '; '.join(
                f'{name}: {why}' for name, why in absent.items()))
        figures = _measure(readers, videos, args)
    finally:
        for child in readers.values():
            child.close()
    figures.update(
        machine=describe_machine(), num_frames=args.num_frames,
        videos=videos, absent=absent, tolerance=args.tolerance,
        readers={name: child.version for name, child in readers.items()})
    figures['recommended'] = recommend(figures)
    print(table(figures))
    if args.out:
        from projects.vifi_clip.datasets.frame_cache import write_json
        write_json(Path(args.out), figures)
    return figures


def _check(args: argparse.Namespace) -> Dict[str, str]:
    """Check options before any work; returns the folders of ``--path``."""
    for name in 'num_frames', 'max_videos', 'repeats':
        if getattr(args, name) < 1:
            raise ValueError(f'--{name.replace("_", "-")} '
                             f'{getattr(args, name)}: at least 1')
    if min(args.threads) < 1:
        raise ValueError(f'--threads {min(args.threads)}: at least 1')
    if args.out and not args.out.endswith('.json'):
        raise ValueError(f'--out {args.out}: name a .json file')
    if args.out and osp.isdir(args.out):
        raise ValueError(f'--out {args.out} is a folder: name a file')
    if args.out and not osp.isdir(osp.dirname(args.out) or '.'):
        raise FileNotFoundError(f'--out {args.out}: no such folder')
    paths = {}
    for pair in args.path:
        name, _, folder = pair.partition('=')
        if name not in READERS or not osp.isdir(folder):
            raise ValueError(f'--path {pair}: give READER=FOLDER, a reader '
                             f'of {READERS} and a folder that is there')
        paths[name] = osp.abspath(folder)
    return paths


def _videos(args: argparse.Namespace) -> List[str]:
    """Files to read: those given, or some of a list."""
    videos = args.videos
    if osp.splitext(videos[0])[1] in _VIDEO_LISTS:
        from projects.vifi_clip.datasets.video_list import read_video_list
        if len(videos) > 1:
            raise ValueError(f'{videos[0]} is a list; give it alone')
        root = args.root or osp.dirname(videos[0])
        listed = [osp.join(root, path) for path, _ in
                  read_video_list(videos[0], allow_unlabelled=True)]
        count = min(args.max_videos, len(listed))
        videos = [listed[i * len(listed) // count] for i in range(count)]
    folders = [path for path in videos if osp.isdir(path)]
    if folders:
        raise ValueError(f'{folders[0]} is a folder: give its videos, e.g. '
                         f'{folders[0]}/*.mp4, or a list of videos')
    missing = [path for path in videos if not osp.isfile(path)]
    if missing:
        raise FileNotFoundError('No such video: ' + ', '.join(missing[:5]) +
                                ('; is --root right?' if args.root else ''))
    return [osp.abspath(path) for path in videos]


class _Child:
    """A reader in a process of its own; see ``decode_child.py``."""

    def __init__(self, name: str, folder: Optional[str]) -> None:
        script = Path(__file__).with_name('decode_child.py')
        command = [sys.executable, str(script), name]
        self.name = name
        self._process = subprocess.Popen(
            command + ([folder] if folder else []), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        hello = self._answer()
        self.version = hello.get('version', '')
        self.problem = hello.get('error', '')

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        return dict(error=f'{self.name} crashed (exit code '
                    f'{self._process.wait()})')

    def read(self, path: str, indices: Sequence[int], threads: int = 1,
             save: Optional[str] = None) -> dict:
        """One request; the answer has ``error`` if it failed."""
        request = dict(path=path, indices=list(indices), threads=threads,
                       save=save)
        try:
            self._process.stdin.write(json.dumps(request) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it crashed; there is no answer
        return self._answer()

    def close(self) -> None:
        """End the process."""
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()
        self._process.stdout.close()


def _measure(readers: Dict[str, _Child], videos: List[str],
             args: argparse.Namespace) -> Dict[str, Any]:
    """Check agreement, which also warms the page cache, then take turns."""
    jobs, agreement = [], {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as folder:
        for video in videos:
            indices = _indices(readers, video, args.num_frames)
            jobs.append((video, indices))
            _compare(readers, video, indices, folder, agreement)
    bad = {name for name, found in agreement.items()
           if any('error' in one for one in found)}
    variants = [(name, threads) for name in readers if name not in bad
                for threads in sorted(set(args.threads))
                if name not in _OWN_THREADS or threads == min(args.threads)]
    times: Dict[Tuple[str, int], List[dict]] = {v: [] for v in variants}
    for _ in range(args.repeats):
        for video, indices in jobs:
            for name, threads in variants:
                found = readers[name].read(video, indices, threads)
                times[name, threads].append(found)
    rows = [_row(name, threads, found)
            for (name, threads), found in times.items()]
    return dict(rows=rows, agreement=agreement)


def _indices(readers: Dict[str, _Child], video: str, num: int) -> List[int]:
    """Middles of equal segments, as the single view takes them."""
    from projects.vifi_clip.errors import UserError
    counts = {name: child.read(video, []) for name, child in readers.items()}
    known = [one['count'] for one in counts.values() if one.get('count')]
    if not known:
        raise UserError(f'{video}: no reader can read it: ' + '; '.join(
            f'{name}: {one.get("error", "it has no frames")}'
            for name, one in counts.items()))
    total = min(known)
    # ascending and different, as DecordDecodeOnce asks
    return sorted({(2 * i + 1) * total // (2 * num) for i in range(num)})


def _compare(readers: Dict[str, _Child], video: str, indices: List[int],
             folder: str, agreement: Dict[str, List[dict]]) -> None:
    """Add how far each reader's frames are from the first's."""
    import numpy as np
    reference = None
    for name, child in readers.items():
        file = os.path.join(folder, f'{name}.npy')
        found = child.read(video, indices, save=file)
        if 'error' in found:
            agreement[name].append(dict(video=video, error=found['error']))
            continue
        frames = np.load(file).astype(np.int16)
        reference = frames if reference is None else reference
        one = dict(video=video, count=found['count'],
                   shape=list(frames.shape))
        if frames.shape == reference.shape:
            apart = np.abs(frames - reference)
            one.update(mean=float(apart.mean()), most=int(apart.max()))
        agreement[name].append(one)


def _row(name: str, threads: int, found: List[dict]) -> dict:
    """Milliseconds a clip: median, least and most."""
    good = [one for one in found if 'error' not in one]
    row: Dict[str, Any] = dict(reader=name, threads=threads,
                               failed=len(found) - len(good))
    for key in ('seconds', 'cpu') if good else ():
        values = [1e3 * one[key] for one in good]
        row[key] = dict(median=median(values), min=min(values),
                        max=max(values))
    return row
