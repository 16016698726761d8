"""Options that several commands share.

Imports nothing heavy: a command's options are read before torch is imported.
"""
from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

from .outputs import check_folder
from .parsing import DictAction, Group, option, part, positive_int

if TYPE_CHECKING:
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer

CONFIG = 'vifi_zero_shot'
_CONFIG_WORDS = (f"{CONFIG}, which without a checkpoint is OpenAI's CLIP "
                 'ViT-B/16')
_MODEL = Group('model')
_CLUSTER = Group('many machines', 'docs/ray.md')
_FASTER = Group('faster, less exact',
                'docs/performance.md gives the cost of each')


def cfg_options(group: Group = Group()) -> Any:
    """Declare ``--cfg-options``."""
    return option(
        nargs='+', action=DictAction, metavar='KEY=VALUE', group=group,
        help='override settings of the config; dots separate nested keys, '
        'and a list is KEY="[a,b]"')


def trust(group: Group = Group()) -> Any:
    """Declare ``--trust``."""
    return option(
        action='store_true', group=group, help='let checkpoint files run code '
        'while they load, and the config of a model from hf://; only for '
        'files whose origin you trust')


def device(group: Group = Group()) -> Any:
    """Declare ``--device``."""
    return option(default='auto', group=group, help='cpu, cuda:0 ... '
                  '(default: a GPU if there is one)')


def model_config(words: str, **settings: Any) -> Any:
    """Declare ``--config``; ``words`` say in its help what the default is."""
    return option(
        '--config', '--model', group=_MODEL, help='a config file, the name of '
        "a bundled one ('small_world' needs no download), "
        'the folder of a trained model, or hf://ORGANISATION/NAME (default: '
        f'{words})', **settings)


def _checkpoint(**settings: Any) -> Any:
    return option(
        group=_MODEL, help='file or web address of trained weights '
        '(default: those that the config names)', **settings)


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """Arguments of ``apply_inference``, all off by default."""

    precision: str = option(
        choices=('fp32', 'autocast', 'bf16'), default='fp32', group=_FASTER,
        help='precision of the image tower (default: fp32)')
    compile: bool = option(
        action='store_true', group=_FASTER,
        help='torch.compile the image tower for the shape of the first batch')
    text_bf16: bool = option(
        action='store_true', group=_FASTER,
        help='run the text tower in bfloat16, for very many classes')

    def settings(self) -> Dict[str, Any]:
        """Return those that are not the default."""
        defaults = vars(InferenceOptions())
        return {name: value for name, value in vars(self).items()
                if value != defaults[name]}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that a command line names."""

    config: Optional[str] = model_config(_CONFIG_WORDS, default=CONFIG)
    checkpoint: Optional[str] = _checkpoint()
    device: str = device(_MODEL)
    cfg_options: Optional[Dict[str, Any]] = cfg_options(_MODEL)
    trust: bool = trust(_MODEL)
    faster: InferenceOptions = part(InferenceOptions)

    @property
    def inference(self) -> Dict[str, Any]:
        """Of ``apply_inference``, what is not the default."""
        return self.faster.settings()

    def load(self, **kwargs) -> ViFiCLIPInferencer:
        """Load the model, with more arguments of :class:`ViFiCLIPInferencer`
        such as ``labels``; MMEngine's messages go to standard error."""
        quiet_logs()
        from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
        return ViFiCLIPInferencer(
            self.config, self.checkpoint, self.device, self.trust,
            self.cfg_options, **kwargs, **self.inference)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work on many videos is done: see ``cli.cluster``."""

    engine: str = option(
        choices=('local', 'ray'), default='local', group=_CLUSTER,
        help='ray: by the workers of a Ray cluster (default: local)')
    ray_address: Optional[str] = option(
        metavar='HOST:PORT', group=_CLUSTER, help='the cluster (default: '
        'RAY_ADDRESS, or one of this machine alone, for this run)')
    ray_workers: Optional[int] = option(
        type=positive_int, metavar='N', group=_CLUSTER, help='processes on '
        'all its machines (default: one for each GPU or, without GPUs, for '
        'each machine; to pack, for each CPU)')

    def __post_init__(self) -> None:
        if self.engine == 'ray' and int(os.environ.get('WORLD_SIZE', 1)) > 1:
            raise ValueError('--engine ray starts its own processes: run it '
                             'without torchrun')
        for name in 'ray_address', 'ray_workers':
            if self.engine != 'ray' and getattr(self, name) is not None:
                raise ValueError(f'--{name.replace("_", "-")} is for --engine '
                                 'ray')
        if (self.ray_address or '').startswith('ray://'):
            raise ValueError('--ray-address takes HOST:PORT, not ray://: run '
                             'the command on a machine of the cluster')

    def here(self, model: ModelOptions) -> ModelOptions:
        """Return where this process loads a model: with Ray, on the CPU, to
        be copied to the workers."""
        if self.engine == 'local':
            return model
        if model.faster.compile:
            raise ValueError('--compile cannot be combined with --engine ray: '
                             'what is compiled cannot be sent')
        if model.device not in ('auto', 'cpu'):
            raise ValueError(f'--device {model.device} is for --engine local; '
                             'Ray chooses the GPUs (--device cpu: none)')
        from projects.vifi_clip.errors import need
        need('ray', 'ray')  # before the model is loaded
        return replace(model, device='cpu')


@dataclass(frozen=True, kw_only=True)
class SeveralModels(ModelOptions):
    """Models side by side: one for each checkpoint."""

    config: List[str] = model_config(_CONFIG_WORDS, default=[CONFIG],
                                     nargs='+')
    checkpoint: List[Optional[str]] = _checkpoint(default=[None], nargs='+')

    def each(self) -> List[ModelOptions]:
        """Return the options of each model (ValueError if the numbers of
        configs and checkpoints do not fit)."""
        configs, checkpoints = self.config, self.checkpoint
        if len(configs) == 1:
            configs = configs * len(checkpoints)
        elif checkpoints == [None]:
            checkpoints = checkpoints * len(configs)
        if len(configs) != len(checkpoints):
            raise ValueError(
                f'--config names {len(configs)} configs and --checkpoint '
                f'{len(checkpoints)} checkpoints: give one config, or one '
                "for each checkpoint ('none' for a config's own weights)")
        shared = {name: value for name, value in vars(self).items()
                  if name not in ('config', 'checkpoint')}
        return [ModelOptions(config=config, checkpoint=checkpoint, **shared)
                for config, checkpoint in zip(configs, checkpoints)]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What MMAction2's train.py and test.py share."""

    work_dir: Optional[str] = option(
        help='folder for logs and results (default: work_dirs/<name of the '
        'config>, with the settings changed from their defaults)')
    cfg_options: Optional[Dict[str, Any]] = cfg_options()
    trust: bool = trust()
    amp: bool = option(action='store_true',
                       help='use bfloat16 autocast (CPU and GPU)')
    launcher: str = option(
        choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help='job launcher; tools/dist_*.sh set it')
    local_rank: int = option('--local_rank', '--local-rank', type=int,
                             default=0, help=argparse.SUPPRESS)

    def settings(self) -> Dict[str, Any]:
        """Return those of ``apis.config.load_config``; ValueError for a folder
        that cannot be written."""
        if self.work_dir:
            check_folder('--work-dir', self.work_dir)
        # for MMEngine, where a launcher says it as an option
        os.environ.setdefault('LOCAL_RANK', str(self.local_rank))
        return {name: getattr(self, name)
                for name in ('cfg_options', 'work_dir', 'launcher', 'trust')}


def quiet_logs() -> None:
    """Send MMEngine's warnings to standard error, and nothing else of it:
    standard output is the command's, for people and for pipes."""
    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.WARNING)
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            # setStream would flush the old one, which may be closed
            handler.stream = sys.stderr
            handler.setLevel(logging.WARNING)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings and log lines of libraries, errors excepted."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
