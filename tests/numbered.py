"""Clips of any codec, with the frames of helpers.coded_frame,
which carry their own number."""
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from helpers import coded_frame, write_mp4

FPS = 25


def is_upright(frame):
    """Whether blue rises from left to right; bands out of order would give
    another number."""
    blue = frame[..., 2].mean(0)
    return blue[:9].mean() < 50 and blue[-9:].mean() > 205


def write(path, codec='libx264', count=90, times=None, rotation=None,
          size=(160, 96), turn=np.asarray, **options):
    """Encode frames 0 to ``count``, shown at ``times`` (ticks of 1/1000 s).

    ``rotation`` is what the display matrix says (degrees counter-clockwise,
    whether it is mirrored then); ``turn`` changes frames before encoding.
    """
    base = Fraction(1, 1000 if times else FPS)
    pictures = [np.ascontiguousarray(turn(coded_frame(number, size)))
                for number in range(count)]
    with av.open(str(path), 'w') as file:
        stream = file.add_stream(codec, rate=FPS, options={
            'threads': '1', **options})
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        stream.height, stream.width = pictures[0].shape[:2]
        stream.bit_rate = 2_000_000
        if times:
            stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for picture, time in zip(pictures, times or range(count)):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = time, base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return str(path)


def make_bad(kind, folder) -> str:
    """Make a file that cannot be read; kinds such as 'cut.avi' are cut after
    60 % of a video."""
    path = folder / (kind if '.' in kind else f'{kind}.mp4')
    if kind == 'text':
        path.write_text('no video\n' * 500)
    elif kind == 'empty':
        path.touch()
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'sound':
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('aac', rate=8000)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000), np.float32), 'fltp', 'mono')
            frame.rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    elif kind != 'absent':
        # the index of an MP4 is at its end, which is lost, or before
        write_mp4(path, 60, faststart=kind == 'cut.mp4')
        content = path.read_bytes()
        path.write_bytes(content[:len(content) * 6 // 10])
    return str(path)


def spoil(source, target, number) -> str:
    """Copy a video, and overwrite the content of a packet."""
    with av.open(source) as file:
        packet = [p for p in file.demux(video=0) if p.size][number]
        start, end = packet.pos + 8, packet.pos + packet.size  # NAL's head
    content = Path(source).read_bytes()
    target.write_bytes(content[:start] + b'\x55' * (end - start)
                       + content[end:])
    return str(target)
