"""Embed the frames of a config's lists, to train on them."""
import copy
import os.path as osp
from typing import Any, Dict, Iterator, List

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tqdm import tqdm

from projects.vifi_clip.apis.config import blamed_on, load_config
from projects.vifi_clip.apis.config_lists import check_lists
from projects.vifi_clip.apis.loading import load_model
from projects.vifi_clip.checkpoints.settings import pixel_settings
from projects.vifi_clip.datasets import CheckedVideoDataset
from projects.vifi_clip.datasets.deferred import in_worker
from projects.vifi_clip.datasets.frame_cache import (VERSION, FrameCacheWriter,
                                                     cache_key,
                                                     pipeline_identity)
from projects.vifi_clip.datasets.shards import size_of
from projects.vifi_clip.models.frame_embeddings import tower_identity
from projects.vifi_clip.models.image_backbone import CLIPVisionBackbone
from ..cli.outputs import check_folder
from .options import FramesOptions


def cache_frames(options: FramesOptions) -> Dict[str, int]:
    """Embed the lists as far as they are not yet; return how many videos of
    each part were embedded now."""
    check_folder('--out', options.out)
    cfg = load_config(options.config, options.common.cfg_options,
                      trust=options.common.trust)
    init_default_scope('mmaction')
    for part in {'val', *options.parts}:  # the pipeline is the validation's
        if not cfg.get(f'{part}_dataloader'):
            raise ValueError(f'{options.config} has no {part}_dataloader')
    with blamed_on(options.config, options.common.cfg_options):
        check_lists(cfg, options.parts)
        pipeline = in_worker(cfg.val_dataloader.dataset.pipeline)
        lists = {part: list(_datasets(cfg, part, pipeline))
                 for part in options.parts}
    model, _ = load_model(cfg, options.checkpoint, options.device)
    backbone = model.backbone
    if (not isinstance(backbone, CLIPVisionBackbone) or backbone.inserted
            or backbone.num_frames):
        raise ValueError(
            f"{cfg.filename}: only CLIP's image tower without prompts, whose "
            'frames do not see each other, can be cached, not a '
            f'{type(backbone).__name__}: set TUNE=text, and no METHOD '
            'whose frames see each other')
    settings = dict(
        version=VERSION, dtype=options.dtype,
        num_frames=model.cls_head.num_frames, embed_dim=backbone.embed_dim,
        **pixel_settings(model.data_preprocessor), **tower_identity(backbone),
        pipeline=pipeline_identity(pipeline),
        made_with=dict(config=options.config, checkpoint=options.checkpoint))
    workers = cfg.val_dataloader.get('num_workers', 0)
    made = {part: sum(_embed(model, dataset, settings, workers, options)
                      for dataset in sets) for part, sets in lists.items()}
    entry = osp.splitext(osp.basename(options.config))[0]
    print(f'{options.out}: {sum(made.values())} videos embedded now. Train '
          'on them, with the same knobs (PRETRAINED, DATASET, ...) as here:\n'
          f'  ENTRY={entry} CACHE={options.out} TUNE=text vifi-clip train '
          'vifi_cached')
    return made


def _datasets(cfg: Config, part: str,
              pipeline: List[dict]) -> Iterator[CheckedVideoDataset]:
    """Build the data sets of a part, read by the validation pipeline."""
    settings = cfg[f'{part}_dataloader'].dataset
    while settings.get('dataset'):  # Repeat, ClassBalanced: the same videos
        settings = settings.dataset
    if settings.get('type') != 'CheckedVideoDataset':
        raise ValueError(
            f'{part}_dataloader reads a {settings.get("type")}, not a '
            'CheckedVideoDataset: give the config of the videos')
    for own in (cfg.get(f'{part}_cfg') or {}).get('sets') or [{}]:
        own = {k: v for k, v in own.items() if k not in ('name', 'group')}
        yield DATASETS.build(copy.deepcopy(
            {**settings, **own, 'pipeline': pipeline, 'test_mode': True}))


def _embed(model: torch.nn.Module, dataset: CheckedVideoDataset,
           settings: Dict[str, Any], workers: int,
           options: FramesOptions) -> int:
    """Embed one list as far as it is not yet; return how many videos."""
    root = dataset.data_prefix.get('video')
    files = [dataset.get_data_info(i)['filename'] for i in range(len(dataset))]
    inputs, num_frames = dataset[0]['inputs'], settings['num_frames']
    if not inputs.equal(dataset[0]['inputs']):
        raise ValueError('the validation pipeline is random: readings of '
                         f'{files[0]} differ; remove random transforms')
    if len(inputs) != num_frames:
        raise ValueError(f'the validation pipeline gives {len(inputs)} frames '
                         f'for num_frames={num_frames}; cache one view')
    writer = FrameCacheWriter(
        options.out, settings, dataset.ann_file,
        [cache_key(file, root) for file in files],
        list(map(size_of, files)))
    if writer.is_complete:
        print(f'{dataset.ann_file}: cached already')
        return 0
    first = writer.done
    with tqdm(total=len(files), initial=first, unit='video',
              desc=osp.basename(dataset.ann_file)) as bar:
        try:
            for rows in _batches(model, dataset, first, workers,
                                 options.batch_size):
                writer.append(rows)
                bar.update(len(rows))
        finally:  # an interrupted run goes on from here
            writer.note()
    writer.finish()
    return len(files) - first


def _batches(model: torch.nn.Module, dataset: CheckedVideoDataset, first: int,
             workers: int, batch_size: int) -> Iterator[np.ndarray]:
    """Yield embeddings [n, T, D] of the videos from ``first`` on."""
    if first == len(dataset):  # stopped just before the end
        return
    for batch in Runner.build_dataloader(dict(
            batch_size=batch_size, num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset.get_subset(range(first, len(dataset))))):
        with torch.inference_mode():
            frames = model.data_preprocessor(batch, False)['inputs']
            # The backbone's own output: training on the cache goes through
            # the head, which may have a projection.
            rows = model.backbone(frames.flatten(0, 1))
            # [n, T, 3, H, W] -> [n*T, D] -> [n, T, D]
            rows = rows.reshape(*frames.shape[:2], -1)
        yield rows.float().cpu().numpy()
