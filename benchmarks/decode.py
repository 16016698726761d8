#!/usr/bin/env python
"""Time sparse reading of your videos by each reader that is installed, in
turns. Those that do not agree with decoding all frames in order are left out.
"vifi" is what our configs use. Then clips a second of each reader that READER
can choose, by threads that decode a frame and data workers, and the best.

    python benchmarks/decode.py videos/*.mp4
    python benchmarks/decode.py data/k400/val.txt --root data/k400/videos
"""
import argparse
import multiprocessing
import os.path as osp
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from pebble import ProcessPool
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip.datasets import (  # noqa: E402
    SparseSampleViews, VideoDecode, VideoReader)
from projects.vifi_clip.datasets.containers import remedy  # noqa: E402
from projects.vifi_clip.datasets.loader_settings import (  # noqa: E402
    usable_cores)
from projects.vifi_clip.datasets.video_list import (  # noqa: E402
    find_missing, read_video_list)
from projects.vifi_clip.datasets.video_file import VideoFile  # noqa: E402
from projects.vifi_clip.datasets.video_reader import (  # noqa: E402
    run_pipeline)
from projects.vifi_clip.files import write_json  # noqa: E402
from projects.vifi_clip_tools.cli.parsing import positive_int  # noqa: E402

_HANG = 60  # seconds
_TOLERANCE = 2.  # mean difference of grey levels up to which readers agree


def _vifi(path: str, indices: List[int]) -> Any:
    return np.stack(VideoFile(path).frames(indices))


def _decord(path: str, indices: List[int]) -> Any:
    import decord
    return decord.VideoReader(path, num_threads=1).get_batch(
        indices).asnumpy()


def _pyav(path: str, indices: List[int]) -> Any:
    import av
    with av.open(path) as container:
        return np.stack([
            frame.to_rgb().to_ndarray() for index, frame in zip(
                range(indices[-1] + 1), container.decode(video=0))
            if index in indices])


def _opencv(path: str, indices: List[int]) -> Any:
    """Go to frames as mmcv's VideoReader does; OpenCV chooses its threads."""
    import cv2
    video, frames = cv2.VideoCapture(path), []
    for index in indices:
        if round(video.get(cv2.CAP_PROP_POS_FRAMES)) != index:
            video.set(cv2.CAP_PROP_POS_FRAMES, index)
        frames.append(video.read()[1][..., ::-1])  # BGR to RGB
    return np.stack(frames)


def _torchcodec(path: str, indices: List[int], device: str = 'cpu') -> Any:
    from torchcodec.decoders import VideoDecoder
    decoder = VideoDecoder(path, dimension_order='NHWC', seek_mode='exact',
                           device=device)
    return decoder.get_frames_at(indices).data.cpu().numpy()


READERS: Dict[str, Callable] = {
    'vifi': _vifi, 'decord': _decord, 'pyav': _pyav, 'opencv': _opencv,
    'torchcodec': _torchcodec,
    'torchcodec-cuda': partial(_torchcodec, device='cuda')}
# The backend of VideoReader that each is, which the knob READER chooses;
# decord is for comparison.
_KNOBS = {'vifi': 'pyav', 'torchcodec': 'torchcodec',
          'torchcodec-cuda': 'torchcodec-cuda', 'decord': 'decord'}
_NOISE = 0.95  # of the best; no slower is as good


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure, and print a table; returns the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_videos(parser)
    parser.add_argument('--num-frames', type=positive_int, default=16)
    parser.add_argument('--repeats', type=positive_int, default=5)
    parser.add_argument('--threads', nargs='+', type=positive_int,
                        default=[1, 2, 4], help='that decode a frame')
    parser.add_argument(
        '--workers', nargs='+', type=positive_int, help='data workers '
        '(default: 1, half of the cores, and all)')
    parser.add_argument('--out', help='a .json file for the figures')
    args = parser.parse_args(argv)
    videos = chosen_videos(parser, args)
    figures = measure(videos, args.num_frames, args.repeats)
    print(f'{"reader":<14}{"ms a clip":>10}{"of CPU":>9}')
    for name, row in figures['readers'].items():
        print(f'{name:<16}{row["seconds"]:>8.1f}{row["cpu"]:>9.1f}')
    for name, reason in figures['left_out'].items():
        print(f'{name:<16} left out: {reason}')
    cores = usable_cores()
    rows = figures['rates'] = rates(
        figures, args.repeats, args.threads,
        args.workers or sorted({1, max(1, cores // 2), cores}))
    print(f'\n{"READER":<16}{"threads":>8}{"workers":>9}'
          f'{"clips a second":>16}')
    for row in rows:
        print('{reader:<16}{threads:>8}{workers:>9}{rate:>16.1f}'.format(
            **row))
    if rows:
        figures['best'] = best = recommended(rows)
        print('\nRecommended: READER={reader} WORKERS={workers}, with '
              'num_threads={threads} of VideoReader'.format(**best))
    if args.out:
        write_json(args.out, figures)
    return figures


def add_videos(parser: argparse.ArgumentParser, nargs: str = '+',
               more: str = '') -> None:
    """Add the arguments that :func:`chosen_videos` reads."""
    parser.add_argument('videos', nargs=nargs, help='video files, or one list '
                        f'(.txt) of "path label" lines{more}')
    parser.add_argument('--root', help="folder that a list's paths start from")
    parser.add_argument('--max-videos', type=positive_int, default=8,
                        help='of a list, evenly spaced')


def chosen_videos(parser: argparse.ArgumentParser,
                  args: argparse.Namespace) -> List[str]:
    """Return the files of a command line that has ``videos``, ``root`` and
    ``max_videos``; it ends if one is not there."""
    videos = args.videos
    if videos[0].endswith('.txt'):
        root = args.root or osp.dirname(videos[0])
        listed = [osp.join(root, path) for path, _ in read_video_list(
            videos[0], allow_unlabelled=True)]
        count = min(args.max_videos, len(listed))
        videos = [listed[i * len(listed) // count] for i in range(count)]
    if missing := find_missing(videos):
        first = videos[missing[0]]
        parser.error(f'no such video: {first}{remedy(first)}')
    return videos


def _apart(name: str, path: str, indices: List[int],
           expected: np.ndarray) -> float:
    return float(np.abs(READERS[name](path, indices) - expected).mean())


def measure(videos: List[str], num_frames: int, repeats: int
            ) -> Dict[str, Any]:
    """Check agreement, which also warms the page cache, then take turns."""
    jobs, left_out = [], {}
    # A fork of a process that has decoded waits for threads it does not have.
    pool = ProcessPool(1, context=multiprocessing.get_context('spawn'))
    for video in videos:
        in_order = VideoFile(video, in_order=True)
        total = len(in_order)
        # Middles of equal segments, as the single view takes them.
        indices = sorted({(2 * i + 1) * total // (2 * num_frames)
                          for i in range(num_frames)})
        jobs.append((video, indices))
        expected = np.stack(in_order.frames(indices)).astype(np.int16)
        for name in READERS:
            try:
                # Some readers hang, or crash, on some files.
                apart = pool.schedule(_apart, (name, video, indices, expected),
                                      timeout=_HANG).result()
                if apart > _TOLERANCE:
                    left_out[name] = f'{video}: {apart:.1f} grey levels apart'
            except Exception as error:  # of any reader, or another size
                left_out[name] = (f'{video}: {type(error).__name__} {error}'
                                  ).partition('\n')[0]
    pool.close()
    pool.join()
    times: Dict[str, list] = {name: [] for name in READERS
                              if name not in left_out}
    for _ in range(repeats):
        for job in jobs:
            for name in times:
                start, cpu = time.perf_counter(), time.process_time()
                READERS[name](*job)
                times[name].append((1e3 * (time.perf_counter() - start),
                                    1e3 * (time.process_time() - cpu)))
    readers = {name: dict(zip(('seconds', 'cpu'), map(median, zip(*pairs))))
               for name, pairs in times.items()}
    return dict(videos=videos, num_frames=num_frames, left_out=left_out,
                readers=readers)


class _Clips(Dataset):
    """Clips as a pipeline reads them, by (reader, path); what comes is how
    many frames."""

    def __init__(self, num_frames: int, threads: int) -> None:
        self.num_frames, self.threads = num_frames, threads

    def __getitem__(self, clip: Tuple[str, str]) -> int:
        reader, path = clip
        steps = [VideoReader(reader, self.threads),
                 SparseSampleViews(self.num_frames), VideoDecode()]
        return len(run_pipeline(steps, dict(
            filename=path, start_index=0))['imgs'])


def rates(figures: Dict[str, Any], repeats: int, threads: Sequence[int],
          workers: Sequence[int]) -> List[Dict[str, Any]]:
    """Count the clips that data workers read in a second, in their second
    epoch, by each reader that was not left out; no more threads than cores,
    but one."""
    rows, clips = [], []
    readers = [_KNOBS[name] for name in _KNOBS if name in figures['readers']]
    for count, number in product(threads, workers):
        if count > 1 and count * number > usable_cores():
            continue
        loader = DataLoader(
            _Clips(figures['num_frames'], count), batch_size=None,
            sampler=clips, num_workers=number, persistent_workers=True,
            multiprocessing_context='spawn')  # as a GPU needs
        for reader in readers:
            clips[:] = [(reader, path) for path in figures['videos']] * repeats
            for _ in range(2):
                start = time.perf_counter()
                for _ in loader:
                    pass
            rows.append(dict(
                reader=reader, threads=count, workers=number,
                rate=len(clips) / (time.perf_counter() - start)))
    return sorted(rows, key=lambda row: readers.index(row['reader']))


def recommended(rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Return the fastest row; of those that are nearly so, the first reader,
    with the fewest workers and threads."""
    fast = _NOISE * max(row['rate'] for row in rows)
    readers = list(_KNOBS.values())
    return min((row for row in rows if row['rate'] >= fast), key=lambda row: (
        readers.index(row['reader']), row['workers'], row['threads']))


if __name__ == '__main__':
    main()
