"""Looks for a config's lists before a model is built, or downloaded."""
from __future__ import annotations

import os.path as osp
from typing import TYPE_CHECKING, Dict, Iterator, List, Sequence

if TYPE_CHECKING:
    from mmengine.config import Config


def check_lists(cfg: Config, parts: Sequence[str]) -> None:
    """Check that lists of videos, class lists and video folders are there.

    Args:
        cfg (Config): Of any recognizer.
        parts (Sequence[str]): Of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError: One is absent.
    """
    for part in parts:
        for dataset in _sets(cfg, part):
            _check(dataset)


def list_origins(cfg: Config) -> List[Dict[str, str]]:
    """Say which lists a config trains and tests on, and where they are from.

    Args:
        cfg (Config): Of any recognizer.

    Returns:
        list[dict]: :func:`~..datasets.list_origin.list_origin` of each, and
        its ``part``, 'train' (not of frozen CLIP) or 'test'.
    """
    from ..datasets.list_origin import list_origin
    frozen = cfg.model.get('tune') == 'none'
    return [
        dict(part=part, **list_origin(_ann_file(dataset)))
        for part in (['test'] if frozen else ['train', 'test'])
        for dataset in _sets(cfg, part) if dataset.get('ann_file')
    ]


def _sets(cfg: Config, part: str) -> Iterator[dict]:
    """Configs of the datasets that a part of a run reads."""
    loader = cfg.get(f'{part}_dataloader') or {}
    sets = (cfg.get(f'{part}_cfg') or {}).get('sets') or [{}]
    for dataset in _datasets(loader.get('dataset') or {}):
        for one in sets:
            yield {**dataset, **one}


def _datasets(dataset: dict) -> Iterator[dict]:
    """A dataset's config, or those that it wraps."""
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner[0] is None:
        yield dataset
    for child in inner:
        if child is not None:
            yield from _datasets(child)


def _check(dataset: dict) -> None:
    from ..datasets.video_list import check_ann_file, check_video_root
    classes = dataset.get('class_file')
    if dataset.get('ann_file'):
        check_ann_file(_ann_file(dataset))
    videos = (dataset.get('data_prefix') or {}).get('video')
    if videos and str(dataset.get('type', '')).startswith('Checked'):
        check_video_root(osp.join(dataset.get('data_root') or '', videos))
    if classes and not osp.isfile(classes):
        raise FileNotFoundError(f'no class list {classes!r}; set class_file='
                                '... to the file of class names')


def _ann_file(dataset: dict) -> str:
    """A dataset's list, below its ``data_root``."""
    from ..datasets.video_list import is_local
    path, root = dataset['ann_file'], dataset.get('data_root')
    if root and is_local(path) and not osp.isabs(path):
        return osp.join(root, path)
    return path
