"""Clips that differ from each other, and lists."""
from pathlib import Path

import cv2
import numpy as np
from helpers import write_mp4


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
