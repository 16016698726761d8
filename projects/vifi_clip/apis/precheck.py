"""Looks for a config's lists before a model is built, or downloaded."""
from __future__ import annotations

import os.path as osp
from typing import TYPE_CHECKING, Iterator, Sequence

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
        loader = cfg.get(f'{part}_dataloader') or {}
        sets = (cfg.get(f'{part}_cfg') or {}).get('sets') or [{}]
        for dataset in _datasets(loader.get('dataset') or {}):
            for one in sets:
                _check({**dataset, **one})


def _datasets(dataset: dict) -> Iterator[dict]:
    """A dataset's config, or those that it wraps."""
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner[0] is None:
        yield dataset
    for child in inner:
        if child is not None:
            yield from _datasets(child)


def _check(dataset: dict) -> None:
    from ..datasets.video_list import (check_ann_file, check_video_root,
                                       is_local)
    ann_file, classes = dataset.get('ann_file'), dataset.get('class_file')
    if ann_file:
        root = dataset.get('data_root')
        if root and is_local(ann_file) and not osp.isabs(ann_file):
            ann_file = osp.join(root, ann_file)
        check_ann_file(ann_file)
    videos = (dataset.get('data_prefix') or {}).get('video')
    if videos and str(dataset.get('type', '')).startswith('Checked'):
        check_video_root(osp.join(dataset.get('data_root') or '', videos))
    if classes and not osp.isfile(classes):
        raise FileNotFoundError(f'no class list {classes!r}; set class_file='
                                '... to the file of class names')
