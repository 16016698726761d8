"""Clips that differ from each other, and facts without files."""
import hashlib
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
from helpers import write_mp4

from projects.vifi_clip_tools.doctor.lists import load_lists
from projects.vifi_clip_tools.doctor.video import Facts


def pictures(seed: int, num: int = 24) -> list:
    """Smooth pictures that drift from one random pattern to another."""
    rng = np.random.default_rng(seed)
    ends = [cv2.resize(rng.random((5, 6, 3)) * 255, (96, 64),
                       interpolation=cv2.INTER_CUBIC) for _ in range(2)]
    return [np.clip(ends[0] * (1 - t) + ends[1] * t, 0, 255).astype(np.uint8)
            for t in np.linspace(0, 1, num)]


def write_clip(path, seed: int, num: int = 24, size=(96, 64),
               **options) -> Path:
    """An H.264 clip of its own kind for each seed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [cv2.resize(frame, size) for frame in pictures(seed, num)]
    write_mp4(path, frames=frames, **options)
    return path


def write_files(folder: Path, **texts: str) -> Path:
    """Lists from keyword arguments: ``train='a.mp4 0'`` is train.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f'{name}.txt').write_text(text.replace('; ', '\n') + '\n')
    return folder


def lists_of(folder: Path, **texts: str) -> list:
    """Write lists, and class lists, and load the lists."""
    write_files(folder, **texts)
    return load_lists({folder / f'{name}.txt': None for name in texts
                       if not name.endswith('classes')})


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
