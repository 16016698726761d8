"""Real H.264 clips whose frames say which frame they are; labels."""
from typing import Optional, Sequence, Tuple

import av
import numpy as np

NUM_BITS = 8  # indices 0..255, one horizontal band of the frame per bit
LEFT, MIDDLE, RIGHT = 0, 1, 2
LABELS = ['a red ring', 'a blue star', 'a green heart']


def coded_frame(index: int, size: Tuple[int, int]) -> np.ndarray:
    """Draw a frame, uint8 RGB [H, W, 3], of an index from 0 to 255.

    Red and green hold the index as black or white horizontal bands, so any
    crop that keeps the full height, at any scale, still shows it. Blue is a
    ramp from left (0) to right (255) and tells where a crop was taken.
    """
    width, height = size
    bits = (index >> np.arange(NUM_BITS)) & 1
    bands = bits[np.arange(height) * NUM_BITS // height] * 255
    frame = np.empty((height, width, 3), dtype=np.uint8)
    frame[..., :2] = bands[:, None, None]
    frame[..., 2] = np.linspace(0, 255, width)[None]
    return frame


def read_index(frame: np.ndarray) -> int:
    """Read the index back from a decoded, resized or cropped frame of full
    height, [H, W, 3], 0 to 255."""
    green = np.asarray(frame, dtype=np.float64)[..., 1].mean(axis=1)
    centres = (np.arange(NUM_BITS) + 0.5) * len(green) / NUM_BITS
    return int(((green[centres.astype(int)] > 128) << np.arange(NUM_BITS)
                ).sum())


def read_crop(frame: np.ndarray) -> int:
    """Tell which third of the picture a crop [H, W, 3] was taken from."""
    blue = float(np.asarray(frame, dtype=np.float64)[..., 2].mean())
    return int(np.digitize(blue, (113, 142)))


def write_mp4(path, num_frames: int = 16, size: Tuple[int, int] = (96, 64), *,
              frames: Optional[Sequence[np.ndarray]] = None,
              index_coded: bool = True, fps: int = 25,
              faststart: bool = False) -> str:
    """Encode a short H.264 clip; returns ``path`` as a string.

    It has ``frames``, uint8 RGB [H, W, 3] each, or so many of a ``size``
    (width and height, both even) by :func:`coded_frame`, or of seeded noise.
    ``faststart`` puts the index (moov) before the pictures, so that a file
    cut short still opens.
    """
    if frames is None:
        rng = np.random.default_rng(0)
        frames = [coded_frame(i, size) if index_coded else rng.integers(
            0, 256, (size[1], size[0], 3), dtype=np.uint8)
            for i in range(num_frames)]
    elif len(frames):
        size = frames[0].shape[1::-1]
    options = dict(movflags='faststart') if faststart else {}
    with av.open(str(path), 'w', options=options) as container:
        stream = container.add_stream(
            'libx264', rate=fps, options=dict(crf='12', threads='1'))
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return str(path)
