"""Exported classifiers on videos with labels, side by side."""
import os.path as osp
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.video_list import (check_video_root,
                                                    find_missing,
                                                    read_video_list)
from projects.vifi_clip.errors import UserError

Videos = List[Tuple[str, int]]


@dataclass(frozen=True)
class Accuracy:
    """Predictions of one file.

    Attributes:
        file (str): Its name.
        top1 (float): Share of videos whose best class is right.
        changed (int): Videos whose best class is not that of the first file.
        difference (float): Largest difference of a probability from the
            first file's.
    """
    file: str
    top1: float
    changed: int
    difference: float


def find_videos(evaluate: str, root: Optional[str],
                infer: ViFiCLIPInferencer) -> Videos:
    """Return the videos to run, with their labels.

    Args:
        evaluate (str): A list of ``path label`` lines, or 'config' for the
            test set of the config.
        root (str, optional): Folder that the paths start from.
        infer (ViFiCLIPInferencer): With the label set of the classifier.

    Raises:
        FileNotFoundError: A list, folder or video is absent.
        ValueError: A malformed list, or a label beyond the classes.
        UserError: The config has no test set, or one with other classes.
    """
    if evaluate == 'config':
        evaluate, root = _test_set(infer)
    check_video_root(root)
    videos = [(osp.join(root or '', path), label) for path, label in
              read_video_list(evaluate, num_classes=len(infer.class_names))]
    missing = find_missing([path for path, _ in videos])
    if missing:
        raise FileNotFoundError(
            f'{evaluate}: {len(missing)} of {len(videos)} videos are absent, '
            f'the first is {videos[missing[0]][0]}; give their folder with '
            '--root')
    return videos


def _test_set(infer: ViFiCLIPInferencer) -> Tuple[str, str]:
    """Return the list and the folder of a config's test set."""
    dataset = (infer.cfg.get('test_dataloader') or {}).get('dataset') or {}
    if not dataset.get('ann_file'):
        raise UserError(f'{infer.cfg.filename} has no test set; give '
                        '--evaluate a list, and --root the videos\' folder')
    classes = dataset.get('class_file')
    if classes and read_class_list(classes) != infer.class_names:
        raise UserError(f'the labels of the test set count {classes}, and '
                        'the classifier has other classes; leave out '
                        '--labels, or give --evaluate a list')
    base = dataset.get('data_root') or ''
    prefix = (dataset.get('data_prefix') or {}).get('video') or ''
    return osp.join(base, dataset.ann_file), osp.join(base, prefix)


def evaluate_files(files: Dict[str, Callable[[np.ndarray], np.ndarray]],
                   videos: Videos,
                   pixels: str,
                   infer: ViFiCLIPInferencer) -> List[Accuracy]:
    """Run classifiers over videos, one view and one video at a time.

    Args:
        files (dict): Name and what runs it.
        videos (list[tuple[str, int]]): Paths and labels.
        pixels (str): What the files take, 'uint8' or 'float'.
        infer (ViFiCLIPInferencer): Samples the videos' frames.

    Raises:
        UserError: A video cannot be read.
    """
    scores: Dict[str, list] = {name: [] for name in files}
    for path, _ in tqdm(videos, desc='evaluate', unit='video'):
        x = infer.sample(path).images
        # [T, H, W, 3]
        if pixels == 'float':
            x = infer.normalise(x).numpy()
        for name, run in files.items():
            scores[name].append(run(x[None])[0])
    return summarise({name: np.stack(rows) for name, rows in scores.items()},
                     np.array([label for _, label in videos]))


def summarise(scores: Dict[str, np.ndarray],
              labels: np.ndarray) -> List[Accuracy]:
    """Compare probabilities [N, K] of several files with labels [N]."""
    first = next(iter(scores.values()))
    return [
        Accuracy(name, float((rows.argmax(1) == labels).mean()),
                 int((rows.argmax(1) != first.argmax(1)).sum()),
                 float(np.abs(rows - first).max()))
        for name, rows in scores.items()
    ]


def table(rows: Sequence[Accuracy], num_videos: int) -> str:
    """Return text of at most 80 columns."""
    lines = [f'{"file":<24} {"top-1":>7} {"changed":>9} {"difference":>11}'
             f'   {num_videos} videos']
    for row in rows:
        lines.append(f'{row.file:<24} {100 * row.top1:>6.2f}% '
                     f'{row.changed:>9} {row.difference:>11.1e}')
    if len(rows) == 2:
        change = 100 * (rows[1].top1 - rows[0].top1)
        lines.append(f'int8 changes top-1 by {change:+.2f} points')
    return '\n'.join(lines)
