"""Clips that differ from each other, and facts without files."""
import hashlib
from pathlib import Path
from typing import Optional

import av
import cv2
import numpy as np
from helpers import write_mp4

from projects.vifi_clip_tools.doctor.lists import load_lists
from projects.vifi_clip_tools.doctor.video import Facts


def pictures(seed: int, num: int = 24, size=(96, 64)) -> list:
    """Smooth pictures that drift from one random pattern to another."""
    rng = np.random.default_rng(seed)
    ends = [cv2.resize(rng.random((5, 6, 3)).astype(np.float32) * 255, size,
                       interpolation=cv2.INTER_CUBIC) for _ in range(2)]
    return [np.clip(ends[0] * (1 - t) + ends[1] * t, 0, 255).astype(np.uint8)
            for t in np.linspace(0, 1, num)]


def write_clip(path, seed: int, num: int = 24, **options) -> Path:
    """An H.264 clip of its own kind for each seed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, frames=pictures(seed, num), **options)
    return path


def write_avi(path, seed: int, num: int = 24) -> Path:
    """An MPEG-4 clip in an AVI file, as UCF-101's are."""
    path = Path(path)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        stream.bit_rate = 2_000_000
        for frame in pictures(seed, num):
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_files(folder: Path, **texts: str) -> Path:
    """Lists from keyword arguments: ``train='a.mp4 0'`` is train.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f'{name}.txt').write_text(text.replace('; ', '\n') + '\n')
    return folder


def read_lists(folder: Path, *names: str, roles=None) -> list:
    """Load lists of a folder by their names."""
    roles = roles or {}
    return load_lists({folder / f'{name}.txt': roles.get(name)
                       for name in names})


def facts(content: str, status: str = 'ok', frames: int = 24,
          prints: Optional[bytes] = None) -> Facts:
    """What would be known of a video with this content."""
    return Facts(
        status, sha256=hashlib.sha256(content.encode()).hexdigest(),
        size=len(content), frames=frames, width=96, height=64, fps=24.0,
        prints=prints)


def facts_of(lists, **changes) -> dict:
    """Facts on all videos of lists, each with a content of its own."""
    keys = {entry.key for item in lists for entry in item.entries}
    return {**{key: facts(key) for key in sorted(keys)}, **changes}
