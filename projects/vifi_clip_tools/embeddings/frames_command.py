"""``tools/cache_frames.py``: embed every frame once, for frozen towers."""
from __future__ import annotations

import argparse
import copy
import os.path as osp
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence

from ..cli.options import HelpFormatter
from projects.vifi_clip.apis.config import leave_out_pretrained, load_config
from ..cli.options import add_common_arguments

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

    from projects.vifi_clip.datasets import CheckedVideoDataset

PARTS = ('train', 'val')


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the cache of frame embeddings."""
    parser = argparse.ArgumentParser(
        description='Embed the frames of the training and validation videos '
        'once, by the validation pipeline. configs/vifi_cached.py then '
        'trains the text side on the embeddings, without videos, image tower '
        'or augmentation.',
        epilog='examples:\n'
        '  vifi-clip cache-frames vifi_k400 none --out data/frame_cache\n'
        '  TUNE=text CACHE=data/frame_cache vifi-clip train vifi_cached',
        formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, of the videos')
    parser.add_argument('checkpoint', help="checkpoint of the image tower, or "
                        "'none': what the config starts from")
    parser.add_argument('--out', required=True, help='folder of the cache; '
                        'what is in it already is kept')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS,
                        help='lists to embed (default: both)')
    parser.add_argument(
        '--dtype', choices=['float32', 'float16'], default='float32',
        help='of the files; float16 halves them, and rounds each number by '
        'up to 5e-4 of itself (default: float32)')
    parser.add_argument('--batch-size', type=int, default=4,
                        help='videos at a time (default: 4)')
    parser.add_argument('--device', help='cpu, cuda:0 ... (default: a GPU if '
                        'there is one)')
    add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, int]:
    """Embed the lists; returns how many videos of each were embedded now.

    Raises:
        FileNotFoundError: A config, list or checkpoint is absent.
        ValueError: An option is out of range, or the config's pipeline or
            image tower cannot be cached.
        UserError: A video cannot be read, or the folder holds embeddings of
            another model or pipeline.
    """
    args = parse_args(argv)
    if args.batch_size < 1:
        raise ValueError(f'--batch-size {args.batch_size}: at least 1')
    if args.amp or args.launcher != 'none':
        raise ValueError('--amp and --launcher: embeddings are made in '
                         'float32 by one process; leave them out')
    cfg = load_config(args.config, args.cfg_options, args.work_dir,
                      args.launcher, args.trust)
    from mmengine.registry import init_default_scope

    from projects.vifi_clip.apis.config import check_lists
    init_default_scope('mmaction')
    for part in {'val', *args.parts}:  # the pipeline is the validation's
        if not cfg.get(f'{part}_dataloader'):
            raise ValueError(f'{args.config} has no {part}_dataloader')
    check_lists(cfg, args.parts)
    pipeline = cfg.val_dataloader.dataset.get('pipeline')
    lists = {part: list(_datasets(cfg, part, pipeline)) for part in args.parts}
    model = _build_model(cfg, args)
    made: Dict[str, int] = {}
    for part, sets in lists.items():
        made[part] = sum(
            _embed(model, dataset, pipeline, cfg, args) for dataset in sets)
    entry = osp.splitext(osp.basename(args.config))[0]
    print(f'{args.out}: {sum(made.values())} videos embedded now. Train on '
          'them, with the same knobs (DATASET, SHOTS, ...) as here:\n'
          f'  ENTRY={entry} CACHE={args.out} TUNE=text python tools/train.py '
          'configs/vifi_cached.py')
    return made


def _datasets(cfg: Config, part: str,
              pipeline: List[dict]) -> Iterator[CheckedVideoDataset]:
    """The data sets of a part, each read by the validation pipeline."""
    from mmaction.registry import DATASETS
    settings = cfg[f'{part}_dataloader'].dataset
    while settings.get('dataset'):  # Repeat, ClassBalanced: the same videos
        settings = settings.dataset
    if settings.get('type') != 'CheckedVideoDataset':
        raise ValueError(
            f'{part}_dataloader reads a {settings.get("type")}; frames can '
            'be cached of a CheckedVideoDataset: give the config of the '
            'videos')
    for one in (cfg.get(f'{part}_cfg') or {}).get('sets') or [{}]:
        own = {k: v for k, v in one.items() if k not in ('name', 'group')}
        yield DATASETS.build(dict(
            copy.deepcopy(settings), **{
                **own, 'pipeline': copy.deepcopy(pipeline),
                'test_mode': True}))


def _build_model(cfg: Config, args: argparse.Namespace) -> torch.nn.Module:
    from mmaction.registry import MODELS
    from mmengine.device import get_device
    from mmengine.runner import load_checkpoint

    from projects.vifi_clip.checkpoints.settings_hook import check_file
    from projects.vifi_clip.models.image_backbone import CLIPVisionBackbone
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    if checkpoint and not osp.isfile(checkpoint):
        raise FileNotFoundError(f'No such checkpoint: {checkpoint}')
    if checkpoint:
        leave_out_pretrained(cfg)
    model = MODELS.build(cfg.model)
    backbone = model.backbone
    if not isinstance(backbone, CLIPVisionBackbone) or list(
            backbone.prompt_parameters()):
        raise ValueError(
            f'{cfg.filename}: only CLIP\'s image tower without prompts can be '
            f'cached, and the backbone is a {type(backbone).__name__} '
            '(TUNE=text; the cache serves prompts on the text side too)')
    if checkpoint:
        check_file(checkpoint, model, cfg)
        load_checkpoint(model, checkpoint, map_location='cpu')
    return model.to(args.device or get_device()).eval()


def _settings(model: torch.nn.Module, pipeline: List[dict],
              args: argparse.Namespace) -> Dict[str, Any]:
    from projects.vifi_clip.datasets.frame_cache import (VERSION,
                                                         pipeline_identity)
    from projects.vifi_clip.models.frame_embeddings import (pixel_identity,
                                                            tower_identity)
    return dict(
        version=VERSION,
        dtype=args.dtype,
        num_frames=model.cls_head.num_frames,
        embed_dim=model.backbone.embed_dim,
        **pixel_identity(model.data_preprocessor),
        **tower_identity(model.backbone),
        pipeline=pipeline_identity(pipeline),
        made_with=dict(config=args.config, checkpoint=args.checkpoint))


def _embed(model: torch.nn.Module, dataset: CheckedVideoDataset,
           pipeline: List[dict], cfg: Config,
           args: argparse.Namespace) -> int:
    """Embed one list as far as it is not yet; returns how many videos."""
    from tqdm import tqdm

    from projects.vifi_clip.datasets.frame_cache import (FrameCacheWriter,
                                                         cache_key)
    root = dataset.data_prefix.get('video')
    files = [dataset.get_data_info(i)['filename'] for i in range(len(dataset))]
    keys = [cache_key(file, root) for file in files]
    sizes = [osp.getsize(file) if osp.isfile(file) else 0 for file in files]
    _check_pipeline(dataset, model.cls_head.num_frames)
    writer = FrameCacheWriter(
        args.out, _settings(model, pipeline, args), dataset.ann_file, keys,
        sizes)
    if writer.is_complete:
        print(f'{dataset.ann_file}: there already')
        return 0
    first = writer.done
    with tqdm(total=len(keys), initial=first, unit='video',
              desc=osp.basename(dataset.ann_file)) as bar:
        try:
            for rows in _batches(model, dataset, first, cfg, args):
                writer.append(rows)
                bar.update(len(rows))
        finally:  # an interrupted run goes on from here
            writer.note()
    writer.finish()
    return len(keys) - first


def _check_pipeline(dataset: CheckedVideoDataset, num_frames: int) -> None:
    """Refuse what could not stand for every epoch."""
    one, same = dataset[0]['inputs'], dataset[0]['inputs']
    if not one.equal(same):
        raise ValueError('the validation pipeline is random: it read '
                         f'{dataset.get_data_info(0)["filename"]} twice with '
                         'different results; take random transforms out')
    if len(one) != num_frames:
        raise ValueError(
            f'the validation pipeline gives {len(one)} frames and the model '
            f'takes num_frames={num_frames}; cache one view')


def _batches(model: torch.nn.Module, dataset: CheckedVideoDataset, first: int,
             cfg: Config, args: argparse.Namespace) -> Iterator[Any]:
    """Embeddings [n, T, D] of the videos from ``first`` on, in order."""
    import torch
    from mmengine.runner import Runner
    if first == len(dataset):  # stopped just before the end
        return
    loader = Runner.build_dataloader(
        dict(
            batch_size=args.batch_size,
            num_workers=cfg.val_dataloader.get('num_workers', 0),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset.get_subset(range(first, len(dataset)))))
    for batch in loader:
        with torch.inference_mode():
            frames = model.data_preprocessor(batch, False)['inputs']
            found = model.backbone(frames.flatten(0, 1))
            # [n, T, 3, H, W] -> [n*T, D] -> [n, T, D]
            found = found.reshape(*frames.shape[:2], -1)
        yield found.float().cpu().numpy()
