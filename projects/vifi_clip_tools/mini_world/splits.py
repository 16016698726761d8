"""Annotation files in the formats of MMAction2's data sets."""
from pathlib import Path
from typing import Dict, List, Sequence

from ..splits.protocols import draw
from .world import CLASSES, clip_path, still_path

SHOTS = (2, 4, 8, 16)
SHOT_SEEDS = (1, 2, 3)
# Of more clips, too many would share their caption with another.
RETRIEVAL_TEST_PER_CLASS = 10


def _all_clips(classes, split, count) -> List[str]:
    return [f'{clip_path(cls, split, i)} {label}'
            for label, cls in enumerate(classes) for i in range(count)]


def video_annotations(train_per_class: int, test_per_class: int,
                      target_train_per_class: int) -> Dict[str, List[str]]:
    """The class lists and splits of every protocol.

    ``classes``, ``train`` and ``val`` are the training set's. The base, novel
    and few-shot files are the target set's; labels of the base and novel
    files count within their half. A K-shot file is there only if a class has
    K training clips. Returns lines by file name.
    """
    base, target = CLASSES['base'], CLASSES['target']
    groups = {'': CLASSES['train'], 'zero_shot_': CLASSES['zero_shot']}
    files = {'train.txt': _all_clips(groups[''], 'train', train_per_class)}
    if target_train_per_class:
        groups.update(target_=target, base_=base, novel_=CLASSES['novel'])
        files['target_train.txt'] = _all_clips(target, 'train',
                                               target_train_per_class)
    for group, classes in groups.items():
        files[f'{group}classes.txt'] = [cls.name for cls in classes]
        files[f'{group}val.txt'] = _all_clips(classes, 'val', test_per_class)
    draws = [('base_train', base, 16)]
    draws += [('few_shot_train', target, shots) for shots in SHOTS]
    for name, classes, shots in draws:
        if target_train_per_class < shots:
            continue
        for seed in SHOT_SEEDS:
            lines = files[f'{name}_{shots}shot_seed{seed}.txt'] = []
            for label, cls in enumerate(classes):
                paths = [clip_path(cls, 'train', i)
                         for i in range(target_train_per_class)]
                drawn = draw(list(zip(paths, paths)), shots, seed)
                lines += [f'{path} {label}' for path in drawn]
    return files


def retrieval_annotations(
        captions: Dict[str, str]) -> Dict[str, Dict[str, List[str]]]:
    """The captioned clips, for MMAction2's VideoTextDataset: by file name,
    the captions of each clip, one of each. ``captions`` has that of each clip
    of the training set by the clip's path, in order."""
    parts = dict(train={}, test={})
    for path, caption in captions.items():
        kind, index = Path(path).stem.split('_')
        if kind == 'train':
            parts['train'][path] = [caption]
        elif int(index) < RETRIEVAL_TEST_PER_CLASS:
            parts['test'][path] = [caption]
    return {f'retrieval_{part}.json': clips for part, clips in parts.items()}


def still_annotations(captions: Sequence[str]) -> Dict[str, List[str]]:
    """The caption list and the still frames with their caption's index."""
    distinct = sorted(set(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    return {'captions.txt': distinct,
            'stills.txt': [f'{still_path(i)} {index[caption]}'
                           for i, caption in enumerate(captions)]}
