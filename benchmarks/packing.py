#!/usr/bin/env python
"""Pack videos in many ways: what each costs in size, likeness and time.

    python benchmarks/packing.py videos/*.mp4
    python benchmarks/packing.py data/k400/val.txt --root data/k400/videos

One setting at a time differs from the defaults of `vifi-clip pack`. "read" is
the CPU time to open a video and read 16 frames; the ways take turns. "encode"
is without decoding. Medians over the videos (lowest to highest).
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.decode import add_videos, chosen_videos  # noqa: E402
from projects.vifi_clip.datasets.video_file import VideoFile  # noqa: E402
from projects.vifi_clip_tools.cli.parsing import positive_int  # noqa: E402
from projects.vifi_clip_tools.cli.tables import markdown_table  # noqa: E402
from projects.vifi_clip_tools.pack.encode import pack_video  # noqa: E402
from projects.vifi_clip_tools.pack.options import Encoding  # noqa: E402
from projects.vifi_clip_tools.pack.sample import read_in_turns  # noqa: E402

WAYS = list(dict.fromkeys(
    Encoding(**{name: value}) for name, values in dict(
        interval=(1, 2, 4, 8, 16, 32), crf=(15, 18, 21, 24),
        preset=('veryfast', 'medium', 'slow')).items() for value in values))


class Row(NamedTuple):
    """What a way does to a video."""

    size: float  # of the original's
    psnr: float  # dB
    read: float  # CPU milliseconds
    read_share: float  # of the original's
    encode: float  # CPU seconds


def measure(video: str, repeats: int) -> Dict[Optional[Encoding], Row]:
    """Pack a video in all ways and read; None is the original."""
    files, seconds = [video], [0.]
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            start = time.process_time()  # the decoder is another process
            data = pack_video(video, way, 600.)
            seconds.append(time.process_time() - start)
            files.append(os.path.join(folder, f'{len(files)}.mp4'))
            Path(files[-1]).write_bytes(data)
        readings = read_in_turns(files, Encoding().side, repeats, VideoFile,
                                 time.process_time)
        sizes = [os.path.getsize(file) for file in files]
    return {way: Row(size / sizes[0], reading.psnr, reading.ms,
                     reading.ms / readings[0].ms, spent)
            for way, size, reading, spent in zip(
                [None, *WAYS], sizes, readings, seconds)}


def table(videos: List[Dict[Optional[Encoding], Row]]) -> str:
    """Write the rows of all videos as one table."""

    def over(way: Optional[Encoding], figure: Callable, digits: int) -> str:
        values = [figure(rows[way]) for rows in videos]
        middle, low, high = (f'{value:.{digits}f}' for value in (
            median(values), min(values), max(values)))
        return f'{middle} ({low} to {high})'

    lines = [['original', '', '', '1', '',
              over(None, lambda row: row.read, 0), '1', '']]
    lines += [[way.interval, way.crf, way.preset,
               over(way, lambda row: row.size, 2),
               over(way, lambda row: row.psnr, 1),
               over(way, lambda row: row.read, 0),
               over(way, lambda row: row.read_share, 2),
               over(way, lambda row: row.encode, 1)] for way in WAYS]
    return markdown_table(
        ['key frame every', 'crf', 'preset', 'size, of the original',
         'PSNR, dB', 'read, ms', 'of the original', 'encode, s'], lines)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_videos(parser)
    parser.add_argument('--repeats', type=positive_int, default=5)
    args = parser.parse_args(argv)
    print(table([measure(video, args.repeats)
                 for video in chosen_videos(parser, args)]))


if __name__ == '__main__':
    main()
