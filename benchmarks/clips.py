"""Clips to measure reading with: videos encoded anew in several codecs, and
packed."""
import os
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import av
import cv2
import numpy as np

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip_tools.pack.encode import pack_video
from projects.vifi_clip_tools.pack.options import Encoding


class Codec(NamedTuple):
    """How clips are encoded."""

    name: str  # FFmpeg's, of the encoder
    suffix: str
    has_b_frames: bool
    options: Dict[str, str]


# HEVC with closed groups, since decord returns wrong frames of others.
CODECS = {
    'H.264, B frames': Codec('libx264', '.mp4', True, dict(crf='23')),
    'H.264': Codec('libx264', '.mp4', False, dict(crf='23', bf='0')),
    'HEVC, B frames': Codec('libx265', '.mp4', True, {
        'crf': '26', 'x265-params': 'open-gop=0:log-level=none'}),
    'VP9': Codec('libvpx-vp9', '.webm', False, {
        'crf': '32', 'b': '0', 'deadline': 'good', 'cpu-used': '4'}),
    'MPEG-4': Codec('mpeg4', '.mp4', False, dict(qscale='4')),
    'MPEG-4 in AVI, B frames': Codec('mpeg4', '.avi', True, dict(
        qscale='4', bf='2')),
}


class Clip(NamedTuple):
    """A file, and its packed copy."""

    codec: str  # of CODECS, or 'as given'
    path: str
    packed: str
    has_b_frames: bool


def make_clips(videos: Sequence[str], folder: Path, size: tuple = (340, 256),
               codecs: Optional[Sequence[str]] = None, frames: int = 300,
               interval: int = Encoding().interval) -> List[Clip]:
    """Take videos as they are and encoded in each codec, all of them packed,
    too; files that ``folder`` has are kept.

    Args:
        videos (Sequence[str]): Files.
        folder (Path): Where the new files go.
        size (tuple): Width and height of what is encoded. Defaults to
            (340, 256), as Kinetics is usually kept.
        codecs (Sequence[str], optional): Of CODECS. Defaults to all of them.
        frames (int): Frames of a clip, at most. Defaults to 300.
        interval (int): Frames from one key frame of a packed file to the
            next. Defaults to that of ``vifi-clip pack``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(video, kind, folder, size, frames, interval) for video in videos
            for kind in ['as given', *(CODECS if codecs is None else codecs)]]
    workers = min(len(jobs), usable_cores())
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool:
        return list(pool.map(_clip, *zip(*jobs)))


def _clip(video: str, kind: str, folder: Path, size: tuple, frames: int,
          interval: int) -> Clip:
    cv2.setNumThreads(0)
    stem, path = Path(video).name.replace('.', '_'), video
    name = f'{stem}-{kind}'.replace(', ', '_').replace(' ', '_')
    if kind in CODECS:
        path = str(folder / f'{name}{CODECS[kind].suffix}')
        if not os.path.exists(path):
            _encode(video, CODECS[kind], path, size, frames)
    packed = folder / f'{name}-packed_{interval}.mp4'
    if not packed.exists():
        part = packed.with_suffix('.part')
        part.write_bytes(pack_video(
            path, Encoding(interval=interval), 600.))
        part.replace(packed)
    with av.open(path) as file:
        # The decoder tells after it has read some frames.
        stream = file.streams.video[0]
        next(file.decode(stream))
        has_b_frames = bool(stream.codec_context.has_b_frames)
    if kind in CODECS:
        has_b_frames = CODECS[kind].has_b_frames
    return Clip(kind, path, str(packed), has_b_frames)


def _encode(video: str, codec: Codec, path: str, size: tuple, frames: int
            ) -> None:
    source = VideoFile(video)
    rate = Fraction(source.avg_fps).limit_denominator(1001)
    part = f'{path}.part{codec.suffix}'
    with av.open(part, 'w') as file:
        stream = file.add_stream(codec.name, rate=rate, options={
            'threads': '1', **codec.options})
        stream.pix_fmt = 'yuv420p'
        stream.width, stream.height = size
        if codec.name == 'mpeg4':
            stream.codec_context.flags |= av.codec.context.Flags.qscale
            stream.codec_context.global_quality = 118 * int(
                codec.options['qscale'])
        for start in range(0, min(len(source), frames), 8):
            numbers = range(start, min(start + 8, len(source), frames))
            for picture in source.frames(numbers):
                picture = np.ascontiguousarray(cv2.resize(picture, size))
                file.mux(stream.encode(
                    av.VideoFrame.from_ndarray(picture, format='rgb24')))
        file.mux(stream.encode())
    os.replace(part, path)
