"""Loggers beside the log file: TensorBoard, Weights & Biases, and the other
backends of MMEngine's visualizer."""
import importlib.util
import os
import os.path as osp
from typing import Any, List

from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import WandbVisBackend

from ..errors import UserError

# Libraries behind MMEngine's backends of the visualizer.
_LIBRARIES = ('wandb', 'tensorboard', 'mlflow', 'clearml', 'neptune',
              'dvclive', 'aim')
_EXTRAS = 'tensorboard', 'wandb'  # of setup.cfg


@VISBACKENDS.register_module()
class MetricsWandbVisBackend(WandbVisBackend):
    """Log metrics and the config to Weights & Biases, but no code: MMEngine's
    class uploads every Python file below the current folder."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config of the run."""
        self.experiment.config.update(config.to_dict(), allow_val_change=True)


def add_loggers(cfg: Config, tensorboard: bool = False,
                wandb: bool = False) -> None:
    """Add loggers to the visualizer of a config, which is changed in place.

    Args:
        cfg (Config): With its ``work_dir``; what is written locally goes to
            the folder ``vis_data`` of each run below it.
        tensorboard (bool): Write event files for TensorBoard.
        wandb (bool): Log to Weights & Biases. The environment variables
            ``WANDB_PROJECT`` (default: vifi_clip) and ``WANDB_NAME`` (default:
            name of the work folder) name the run.
    """
    new: List[dict] = []
    if tensorboard:
        new.append(dict(type='TensorboardVisBackend'))
    if wandb:
        new.append(dict(type='MetricsWandbVisBackend', init_kwargs=dict(
            project=os.environ.get('WANDB_PROJECT', 'vifi_clip'),
            name=os.environ.get('WANDB_NAME',
                                osp.basename(osp.abspath(cfg.work_dir))))))
    if not new:
        return
    visualizer = cfg.get('visualizer') or dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    there = visualizer.get('vis_backends') or []
    there = [there] if isinstance(there, dict) else list(there)
    cfg.visualizer = dict(visualizer, vis_backends=there + new)


def check_loggers(cfg: Config) -> None:
    """Raise UserError if a backend of the visualizer needs a library that is
    not installed, which MMEngine would find out when it begins to log."""
    backends = (cfg.get('visualizer') or {}).get('vis_backends') or []
    for backend in [backends] if isinstance(backends, dict) else backends:
        if not isinstance(backend, dict):
            raise ValueError('visualizer.vis_backends must be a list of '
                             f'dict(type=...), not {backend!r}')
        name = str(backend.get('type'))
        # WandbVisBackend, say: all are named after their libraries
        library = name.removesuffix('VisBackend').removeprefix(
            'Metrics').lower()
        if library not in _LIBRARIES:
            continue
        spec = importlib.util.find_spec(library)
        if spec is None or spec.origin is None:  # a folder of that name
            package = (f'"vifi_clip[{library}]" (in a checkout: -e '
                       f'".[{library}]")' if library in _EXTRAS else library)
            raise UserError(
                f'{name} (visualizer.vis_backends) needs {library}, which is '
                f'not installed: pip install {package}, or leave it out')
