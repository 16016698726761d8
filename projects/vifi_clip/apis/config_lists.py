"""The lists of videos and classes that a config reads."""
import os.path as osp
from typing import Dict, List, Sequence

from mmengine.config import Config

from ..datasets.video_list import (check_ann_file, check_video_root, is_local,
                                   list_origin)


def check_lists(cfg: Config, parts: Sequence[str]) -> None:
    """Raise FileNotFoundError if a list of videos, class list or video folder
    of parts ('train', 'val', 'test') is absent."""
    for dataset in sum((_sets(cfg, part) for part in parts), []):
        if dataset.get('ann_file'):
            check_ann_file(_ann_file(dataset))
        videos = (dataset.get('data_prefix') or {}).get('video')
        if videos and str(dataset.get('type', '')).startswith('Checked'):
            check_video_root(osp.join(dataset.get('data_root') or '', videos))
        classes = dataset.get('class_file')
        if classes and not osp.isfile(classes):
            raise FileNotFoundError(
                f'no class list {classes!r}: set class_file of the data sets '
                '(train_dataloader.dataset.class_file=..., also of '
                'val_dataloader and test_dataloader) to one')
    _check_descriptions(cfg)


def _check_descriptions(cfg: Config) -> None:
    """Refuse sentences that are not there, before videos are read."""
    head = (cfg.get('model') or {}).get('cls_head') or {}
    text = head.get('text_classifier') or {}
    files = text.get('description_file') or []
    for file in [files] if isinstance(files, str) else files:
        if not osp.isfile(file):
            world = osp.dirname(osp.dirname(file))
            remedy = (
                'an older version made this small world; make it again, with '
                f'its other options: vifi-clip mini-world --out {world} '
                '--force' if osp.isfile(osp.join(world, 'manifest.json')) else
                'correct DESCRIPTIONS (description_file=...)')
            raise FileNotFoundError(f'no descriptions {file!r}: {remedy}')


def list_origins(cfg: Config) -> List[Dict[str, str]]:
    """Return :func:`list_origin` of each list that a config reads, and its
    ``part``, 'train' (not of frozen CLIP) or 'test'."""
    frozen = cfg.model.get('tune') == 'none'
    return [dict(part=part, **list_origin(_ann_file(dataset)))
            for part in (['test'] if frozen else ['train', 'test'])
            for dataset in _sets(cfg, part) if dataset.get('ann_file')]


def _sets(cfg: Config, part: str) -> List[dict]:
    """List the settings of the datasets that a part of a run reads."""
    sets = (cfg.get(f'{part}_cfg') or {}).get('sets') or [{}]

    def unwrap(dataset: dict) -> List[dict]:
        inner = dataset.get('datasets') or [dataset.get('dataset')]
        if not any(inner):
            return [{**dataset, **changes} for changes in sets]
        return sum(map(unwrap, inner), [])

    return unwrap((cfg.get(f'{part}_dataloader') or {}).get('dataset') or {})


def _ann_file(dataset: dict) -> str:
    """Path of a dataset's list, below its ``data_root``."""
    path, root = dataset['ann_file'], dataset.get('data_root')
    if root and is_local(path) and not osp.isabs(path):
        return osp.join(root, path)
    return path
