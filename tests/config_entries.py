"""The names of configs, and what tests read of them."""
from pathlib import Path

from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate

ROOT = Path(__file__).parents[1] / 'configs'
ENTRIES = sorted(path.relative_to(ROOT).with_suffix('').as_posix()
                 for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
METHODS = sorted(path.stem for path in (ROOT / '_base_/methods').glob('*.py'))


def figures(cfg) -> tuple:
    """Frames, temporal views, batch of 8 GPUs, accumulation, learning rate,
    weight decay, epochs, those of the warm-up, last rate over the first."""
    sampler, = [step for step in cfg.test_pipeline if 'Sample' in step.type]
    wrapper, schedule = cfg.optim_wrapper, cfg.param_scheduler
    return (cfg.model.cls_head.num_frames, sampler.get('num_views', 1),
            8 * cfg.train_dataloader.batch_size,
            wrapper.get('accumulative_counts', 1), wrapper.optimizer.lr,
            wrapper.optimizer.weight_decay, cfg.epochs, schedule.warmup,
            schedule.eta_min_ratio)


def batch_of(model, loader, count) -> dict:
    dataset = DATASETS.build(loader.dataset)
    data = pseudo_collate([dataset[i] for i in range(count)])
    return model.data_preprocessor(data, training=False)
