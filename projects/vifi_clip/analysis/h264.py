"""Frames to a video that browsers, players and slides show."""
from fractions import Fraction
from typing import BinaryIO, Iterable, Union

import numpy as np

from ..errors import UserError


def write_h264(target: Union[str, BinaryIO],
               frames: Iterable[np.ndarray],
               rate: Fraction,
               crf: int = 18,
               preset: str = 'medium') -> None:
    """Encode an .mp4 file as the frames come.

    Args:
        target (str | BinaryIO): File to write.
        frames (Iterable[np.ndarray]): uint8 RGB [H, W, 3], of one even size.
        rate (Fraction): Frames per second.
        crf (int): x264's quality, lower is better. Defaults to 18.
        preset (str): x264's speed. Defaults to 'medium'.

    Raises:
        UserError: This PyAV has no encoder for H.264.
    """
    import av
    with av.open(target, 'w', format='mp4') as container:
        try:
            stream = container.add_stream(
                'libx264', rate=rate.limit_denominator(1001),
                options=dict(crf=str(crf), preset=preset))
        except ValueError as error:  # what PyAV's own errors derive from
            raise UserError('this PyAV cannot write H.264 (no libx264): '
                            'install PyAV from PyPI, pip install av') \
                from error
        stream.pix_fmt = 'yuv420p'
        for frame in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
