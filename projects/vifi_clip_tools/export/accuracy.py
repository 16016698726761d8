"""Exported classifiers on videos with labels, side by side."""
import os.path as osp
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.video_list import (check_video_root,
                                                    find_missing,
                                                    read_video_list)
from projects.vifi_clip.errors import UserError

Videos = List[Tuple[str, int]]


@dataclass
class Accuracy:
    """One file's predictions.

    Args:
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
    """Videos to run, with their labels.

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
    names = infer.class_names
    videos = [(osp.join(root or '', path), label) for path, label in
              read_video_list(evaluate, num_classes=len(names))]
    missing = find_missing([path for path, _ in videos])
    if missing:
        raise FileNotFoundError(
            f'{evaluate}: {len(missing)} of {len(videos)} videos are absent, '
            f'the first is {videos[missing[0]][0]}; give their folder with '
            '--root')
    return videos


def _test_set(infer: ViFiCLIPInferencer) -> Tuple[str, str]:
    """List and folder of a config's test set."""
    dataset = (infer.cfg.get('test_dataloader') or {}).get('dataset') or {}
    if not dataset.get('ann_file'):
        raise UserError(f'{infer.cfg.filename} has no test set; give '
                        '--evaluate a list, and --root the videos\' folder')
    base = dataset.get('data_root') or ''
    classes = dataset.get('class_file')
    if classes and read_class_list(classes) != infer.class_names:
        raise UserError(f'the labels of the test set count {classes}, and '
                        'the classifier has other classes; leave out '
                        '--labels, or give --evaluate a list')
    prefix = (dataset.get('data_prefix') or {}).get('video') or ''
    return osp.join(base, dataset.ann_file), osp.join(base, prefix)


def evaluate_files(files: Dict[str, Callable[[np.ndarray], np.ndarray]],
                   videos: Videos,
                   to_input: Callable[[np.ndarray], np.ndarray],
                   infer: ViFiCLIPInferencer) -> List[Accuracy]:
    """Run classifiers over videos, one view and one video at a time.

    Args:
        files (dict): Name and what runs it.
        videos (list[tuple[str, int]]): Paths and labels.
        to_input (Callable): Frames uint8 [T, H, W, 3] to the files' input.
        infer (ViFiCLIPInferencer): Samples the videos' frames.

    Raises:
        UserError: A video cannot be read.
    """
    from tqdm import tqdm
    scores: Dict[str, list] = {name: [] for name in files}
    for path, _ in tqdm(videos, desc='evaluate', unit='video'):
        x = to_input(infer.sample(path).images)
        for name, run in files.items():
            scores[name].append(run(x[None])[0])
    return summarise({name: np.stack(rows) for name, rows in scores.items()},
                     np.array([label for _, label in videos]))


def summarise(scores: Dict[str, np.ndarray],
              labels: np.ndarray) -> List[Accuracy]:
    """Probabilities [N, K] of several files and labels [N] to a table."""
    first = next(iter(scores.values()))
    return [
        Accuracy(name, float((found.argmax(1) == labels).mean()),
                 int((found.argmax(1) != first.argmax(1)).sum()),
                 float(np.abs(found - first).max()))
        for name, found in scores.items()
    ]


def table(rows: Sequence[Accuracy], num_videos: int) -> str:
    """Text of at most 80 columns."""
    lines = [f'{"file":<24} {"top-1":>7} {"changed":>9} {"difference":>11}'
             f'   {num_videos} videos']
    for row in rows:
        lines.append(f'{row.file:<24} {100 * row.top1:>6.2f}% '
                     f'{row.changed:>9} {row.difference:>11.1e}')
    if len(rows) == 2:
        change = 100 * (rows[1].top1 - rows[0].top1)
        lines.append(f'int8 changes top-1 by {change:+.2f} points')
    return '\n'.join(lines)
