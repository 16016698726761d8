#!/usr/bin/env python
"""Time sparse reading of your videos by each reader that is installed, in
turns. Those that do not agree with decoding all frames in order are left out.
"vifi" is what our configs use.

    python benchmarks/decode.py videos/*.mp4
    python benchmarks/decode.py data/k400/val.txt --root data/k400/videos
"""
import argparse
import multiprocessing
import os.path as osp
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
from pebble import ProcessPool

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip.datasets.containers import remedy  # noqa: E402
from projects.vifi_clip.datasets.video_list import (  # noqa: E402
    find_missing, read_video_list)
from projects.vifi_clip.datasets.video_file import VideoFile  # noqa: E402
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


def _torchcodec(path: str, indices: List[int]) -> Any:
    from torchcodec.decoders import VideoDecoder
    return VideoDecoder(path, dimension_order='NHWC', seek_mode='exact'
                        ).get_frames_at(indices).data.numpy()


READERS: Dict[str, Callable] = dict(
    vifi=_vifi, decord=_decord, pyav=_pyav, opencv=_opencv,
    torchcodec=_torchcodec)


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure, and print a table; returns the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('videos', nargs='+', help='video files, or one list '
                        '(.txt) of "path label" lines')
    parser.add_argument('--root', help="folder that a list's paths start from")
    parser.add_argument('--num-frames', type=positive_int, default=16)
    parser.add_argument('--max-videos', type=positive_int, default=8,
                        help='of a list, evenly spaced')
    parser.add_argument('--repeats', type=positive_int, default=5)
    parser.add_argument('--out', help='a .json file for the figures')
    args = parser.parse_args(argv)
    videos = chosen_videos(parser, args)
    figures = measure(videos, args.num_frames, args.repeats)
    print(f'{"reader":<12}{"ms a clip":>12}{"of CPU":>9}')
    for name, row in figures['readers'].items():
        print(f'{name:<12}{row["seconds"]:>12.1f}{row["cpu"]:>9.1f}')
    for name, reason in figures['left_out'].items():
        print(f'{name:<12} left out: {reason}')
    if args.out:
        write_json(args.out, figures)
    return figures


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


if __name__ == '__main__':
    main()
