"""Measure what the small world's videos look like, for the warning of its
bundled model, and how often the warning is wrong.

    python benchmarks/known_pixels.py data/mini FOLDER_OF_REAL_VIDEOS

Half of the training clips as they lie on disk, and a quarter as they were
drawn, give means, covariances and limits, which 1% of them pass. The rates are
of clips that took no part: of known classes, of the target classes and of the
unseen ones, and drawn ones, also when compressed much more (CRF 33); and of
2-second pieces of other videos, whole and their middle.
"""
import json
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator, List, Sequence

import numpy as np

from projects.vifi_clip.apis.familiarity import (Known, KnownPixels,
                                                 pixel_statistics)
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput, expand_inputs
from projects.vifi_clip.checkpoints.files import ASSETS
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip_tools.cli.media import write_h264
from projects.vifi_clip_tools.mini_world.clips import Job, render_clip
from projects.vifi_clip_tools.mini_world.world import (CLASSES, VideoClass,
                                                       clip_path)

_TESTED = dict(val=4, target_val=6, zero_shot_val=3)  # list, one clip in


def fit(clips: Sequence[np.ndarray]) -> Known:
    """Fit the frames of training videos."""
    rows = np.stack([pixel_statistics(images) for images in clips])
    mean, covariance = rows.mean(0), np.cov(rows.T)
    precision = np.linalg.inv(covariance + 1e-3 * np.eye(len(mean)))
    away = rows - mean
    distances = np.einsum('nf,fg,ng->n', away, precision, away)
    return Known(mean.round(4), precision.round(3),
                 round(float(np.quantile(distances, 0.99)), 1))


def drawn(split: str, classes: Sequence[VideoClass],
          step: int) -> List[np.ndarray]:
    """Draw the clips of classes anew, one in ``step``."""
    return [render_clip(Job(clip_path(cls, split, number), 0, 64, cls))[0]
            for cls in classes for number in range(0, 32, step)]


def pieces(path: str) -> Iterator[VideoInput]:
    """Cut a video into 2 seconds each, whole and their middle."""
    video = VideoFile(path)
    length = max(1, round(2 * float(video.avg_fps)))
    for start in range(0, len(video), length):
        end = min(start + length, len(video))
        if end - start < 8:
            continue
        frames = np.stack(video.frames(
            range(start, end, max(1, length // 16))))
        height, width = frames.shape[1:3]
        middle = frames[:, height // 4:-(height // 4),
                        width // 4:-(width // 4)]
        for cut in frames, middle:
            yield VideoInput(path, frames=np.ascontiguousarray(cut))


def main(world: str, others: str) -> None:
    """Write the file, and print the rates."""
    model = ViFiCLIPInferencer('small_world', device='cpu')

    def clips(name: str, step: int) -> List[np.ndarray]:
        lines = Path(world, 'annotations', f'{name}.txt').read_text()
        return sampled([str(Path(world, line.rpartition(' ')[0]))
                        for line in lines.splitlines()[::step]])

    def sampled(videos: Sequence[Any]) -> List[np.ndarray]:
        return [model.sample(video).images for video in videos]

    kinds = [fit(clips('train', 2)),
             fit(sampled(drawn('train', CLASSES['train'], 4)))]
    (ASSETS / 'small_world_pixels.json').write_text(json.dumps([dict(
        mean=kind.mean.tolist(), precision=kind.precision.tolist(),
        limit=kind.limit) for kind in kinds]) + '\n')
    known = KnownPixels(kinds)
    tested = {name: clips(name, step) for name, step in _TESTED.items()}
    others_drawn = drawn('val', CLASSES['train'] + CLASSES['zero_shot'], 8)
    tested['drawn'] = sampled(others_drawn)
    tested['drawn, CRF 33'] = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in others_drawn:
            write_h264(f'{folder}/v.mp4', frames, Fraction(15), crf=33)
            tested['drawn, CRF 33'] += sampled([f'{folder}/v.mp4'])
    for name, images in tested.items():
        wrong = sum(map(known.unlike, images))
        print(f'{name}: {wrong} of {len(images)} clips are called unlike')
    for video in expand_inputs(others):
        found = [known.distance(model.sample(piece).images)
                 for piece in pieces(video.path)]
        print(f'{video.name}: {sum(d > 1 for d in found)} of {len(found)}, '
              f'the nearest at {min(found):.2f} times the limit')


if __name__ == '__main__':
    main(*sys.argv[1:])
