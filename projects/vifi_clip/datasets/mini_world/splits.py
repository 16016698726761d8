"""Annotation files in the format of MMAction2's VideoDataset."""
import hashlib
from typing import Dict, List, Sequence

from .world import (VideoClass, base_classes, novel_classes, train_classes,
                    zero_shot_classes)

SHOTS = (2, 4, 8, 16)
SHOT_SEEDS = (1, 2, 3)


def clip_path(cls: VideoClass, split: str, index: int) -> str:
    """Path of a clip, relative to the data set's folder."""
    return f'videos/{cls.slug}/{split}_{index:03d}.mp4'


def still_path(index: int) -> str:
    """Path of a still frame, relative to the data set's folder."""
    return f'stills/{index:04d}.jpg'


def _draw(paths: Sequence[str], shots: int, seed: int) -> List[str]:
    """Draw K clips; the draw for fewer shots is part of that for more.

    Ordering by a hash needs no random generator, whose streams may change
    from one release of a library to the next.
    """

    def key(path):
        return hashlib.sha256(f'{seed} {path}'.encode()).digest()

    return sorted(sorted(paths, key=key)[:shots])


def _all_clips(classes, split, count) -> List[str]:
    return [
        f'{clip_path(cls, split, i)} {label}'
        for label, cls in enumerate(classes) for i in range(count)
    ]


def _few_shot(classes, count, shots, seed) -> List[str]:
    lines = []
    for label, cls in enumerate(classes):
        paths = [clip_path(cls, 'train', i) for i in range(count)]
        lines += [f'{path} {label}' for path in _draw(paths, shots, seed)]
    return lines


def video_annotations(train_per_class: int,
                      test_per_class: int) -> Dict[str, List[str]]:
    """The class lists and splits of every protocol.

    Labels of the base and novel files count within their half. A K-shot file
    is there only if a class has K training clips.

    Args:
        train_per_class (int): Training clips of each training class.
        test_per_class (int): Validation clips of each class, those of the
            zero-shot classes included.

    Returns:
        Dict[str, List[str]]: File name to lines.
    """
    groups = dict(
        base=base_classes(),
        novel=novel_classes(),
        zero_shot=zero_shot_classes())
    files = {
        'classes.txt': [cls.name for cls in train_classes()],
        'train.txt': _all_clips(train_classes(), 'train', train_per_class),
        'val.txt': _all_clips(train_classes(), 'val', test_per_class),
    }
    for group, classes in groups.items():
        files[f'{group}_classes.txt'] = [cls.name for cls in classes]
        files[f'{group}_val.txt'] = _all_clips(classes, 'val', test_per_class)
    for seed in SHOT_SEEDS:
        if train_per_class >= 16:
            files[f'base_train_16shot_seed{seed}.txt'] = _few_shot(
                base_classes(), train_per_class, 16, seed)
        for shots in SHOTS:
            if train_per_class >= shots:
                files[f'few_shot_train_{shots}shot_seed{seed}.txt'] = (
                    _few_shot(train_classes(), train_per_class, shots, seed))
    return files


def still_annotations(captions: Sequence[str]) -> Dict[str, List[str]]:
    """The caption list and the still frames with their caption's index.

    Args:
        captions (Sequence[str]): The caption of each still frame.

    Returns:
        Dict[str, List[str]]: File name to lines.
    """
    distinct = sorted(set(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    return {
        'captions.txt': distinct,
        'stills.txt': [
            f'{still_path(i)} {index[caption]}'
            for i, caption in enumerate(captions)
        ],
    }
