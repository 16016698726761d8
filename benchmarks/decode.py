#!/usr/bin/env python
"""Time sparse reading of your videos by each reader that is installed, in
turns, and check that they agree with ours.

    python benchmarks/decode.py videos/*.mp4
    python benchmarks/decode.py data/k400/val.txt --root data/k400/videos

A clip costs a data worker the CPU time of one thread. MMAction2 has
transforms for decord, pyav and opencv; vifi is what our configs use.
"""
import argparse
import os.path as osp
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip_tools.cli.options import positive_int  # noqa: E402
from projects.vifi_clip_tools.complexity.measure import (  # noqa: E402
    Child, Failure)

_TOLERANCE = 2.  # mean difference of grey levels up to which readers agree


def _vifi(path: str, indices: List[int], threads: int) -> Any:
    from projects.vifi_clip.datasets.video_reader import OpenedVideo
    return OpenedVideo(path, threads).get_batch(indices).asnumpy()


def segment_middles(path: str, num_frames: int) -> List[int]:
    """Return the frames that a single view takes of a video."""
    from projects.vifi_clip.datasets.video_reader import OpenedVideo
    total = len(OpenedVideo(path))
    return sorted({(2 * i + 1) * total // (2 * num_frames)
                   for i in range(num_frames)})


def _decord(path: str, indices: List[int], threads: int) -> Any:
    import decord
    return decord.VideoReader(path, num_threads=threads).get_batch(
        indices).asnumpy()


def _pyav(path: str, indices: List[int], threads: int) -> Any:
    import av
    import numpy as np
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        if threads > 1:  # as many as FFmpeg likes
            stream.thread_type = 'AUTO'
        for index, frame in enumerate(container.decode(stream)):
            if index in indices:
                frames.append(frame.to_rgb().to_ndarray())
            if index == indices[-1]:
                break
    return np.stack(frames)


def _opencv(path: str, indices: List[int], threads: int) -> Any:
    """Go to frames as mmcv's VideoReader does; OpenCV chooses its threads."""
    import cv2
    import numpy as np
    video, frames = cv2.VideoCapture(path), []
    for index in indices:
        if round(video.get(cv2.CAP_PROP_POS_FRAMES)) != index:
            video.set(cv2.CAP_PROP_POS_FRAMES, index)
        good, frame = video.read()
        if not good:
            raise OSError(f'OpenCV cannot read frame {index}')
        frames.append(frame[..., ::-1])  # BGR to RGB
    return np.stack(frames)


def _torchcodec(path: str, indices: List[int], threads: int) -> Any:
    from torchcodec.decoders import VideoDecoder
    return VideoDecoder(
        path, dimension_order='NHWC', num_ffmpeg_threads=threads,
        seek_mode='exact').get_frames_at(indices).data.numpy()


READERS: Dict[str, Callable] = dict(
    vifi=_vifi, decord=_decord, pyav=_pyav, opencv=_opencv,
    torchcodec=_torchcodec)


def read(name: str, path: str, indices: List[int], threads: int = 1,
         keep: bool = False) -> Dict[str, Any]:
    """Read frames [T, H, W, 3] in this process; returns ``seconds``, ``cpu``
    (seconds of all threads) and, if they are to be kept, ``frames``."""
    start, cpu = time.perf_counter(), time.process_time()
    frames = READERS[name](path, indices, threads)
    return dict(seconds=time.perf_counter() - start,
                cpu=time.process_time() - cpu,
                frames=frames if keep else None)


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
    parser.add_argument('--readers', nargs='+', choices=READERS,
                        default=list(READERS))
    parser.add_argument('--threads', type=positive_int, nargs='+',
                        default=[1, 2])
    parser.add_argument('--out', help='a .json file for the figures')
    args = parser.parse_args(argv)
    videos = args.videos
    if videos[0].endswith('.txt'):
        from projects.vifi_clip.datasets.video_list import read_video_list
        root = args.root or osp.dirname(videos[0])
        listed = [osp.join(root, path) for path, _ in read_video_list(
            videos[0], allow_unlabelled=True)]
        count = min(args.max_videos, len(listed))
        videos = [listed[i * len(listed) // count] for i in range(count)]
    missing = [path for path in videos if not osp.isfile(path)]
    if missing:
        parser.error(f'no such video: {missing[0]}')
    # ours first: the others are compared with it
    names = dict.fromkeys(['vifi', *args.readers])
    children = {name: Child() for name in names}
    try:
        figures = measure(children, videos, args.num_frames, args.repeats,
                          args.threads)
    finally:
        for child in children.values():
            child.close()
    print(f'{"reader":<12}{"threads":>8}{"ms a clip":>12}{"of CPU":>9}')
    for row in figures['rows']:
        print('{reader:<12}{threads:>8}{seconds:>12.1f}{cpu:>9.1f}'.format(
            **row))
    for name, why in figures['left_out'].items():
        print(f'{name:<12} left out: {why}')
    if args.out:
        from projects.vifi_clip.files import write_json
        write_json(args.out, figures)
    return figures


def measure(children: Dict[str, Child], videos: List[str], num_frames: int,
            repeats: int, threads: Sequence[int]) -> Dict[str, Any]:
    """Check agreement, which also warms the page cache, then take turns."""
    import numpy as np
    jobs, left_out = [], {}
    for video in videos:
        indices = children['vifi'].call(segment_middles, video, num_frames)
        jobs.append((video, indices))
        expected = None
        for name in [name for name in children if name not in left_out]:
            try:
                frames = children[name].call(
                    read, name, video, indices, 1, True)['frames']
            except Failure as failure:
                left_out[name] = f'{video}: {failure.reason}'
                continue
            frames = frames.astype(np.int16)
            expected = frames if expected is None else expected
            if frames.shape != expected.shape:
                left_out[name] = f'{video}: frames of another size'
            elif (apart := np.abs(frames - expected).mean()) > _TOLERANCE:
                left_out[name] = f'{video}: {apart:.1f} grey levels apart'
    times: Dict[tuple, List[dict]] = {
        (name, n): [] for name in children if name not in left_out
        for n in sorted(set(threads))}
    for _ in range(repeats):
        for video, indices in jobs:
            for (name, n), runs in times.items():
                runs.append(children[name].call(
                    read, name, video, indices, n))
    rows = [dict(reader=name, threads=n, **{
        key: 1e3 * median(run[key] for run in runs)
        for key in ('seconds', 'cpu')})
        for (name, n), runs in times.items()]
    return dict(rows=rows, left_out=left_out, num_frames=num_frames,
                videos=videos)


if __name__ == '__main__':
    main()
