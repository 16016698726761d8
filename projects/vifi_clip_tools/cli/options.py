"""Options that several commands share, and types of their values.

Imports nothing heavy: a command's options are read before torch is imported.
"""
from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from dataclasses import dataclass, field, replace
from typing import (TYPE_CHECKING, Any, Callable, Dict, Iterator, List,
                    Optional)

if TYPE_CHECKING:
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer

CONFIG = 'vifi_zero_shot'
_PRECISIONS = ('fp32', 'autocast', 'bf16')


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep examples as they are written, and fill a text of one line.

    argparse's own formatters do either to both of description and epilog.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if '\n' in text.strip():
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


class DictAction(argparse.Action):
    """MMEngine's DictAction, imported when there is something to read."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from mmengine.config import DictAction
        real = DictAction(self.option_strings, self.dest, nargs=self.nargs)
        real(parser, namespace, values, option_string)


def number(kind: Callable, low: float, high: float = float('inf'),
           open_low: bool = False) -> Callable[[str], Any]:
    """Make an argparse type: ``int`` or ``float`` from ``low`` to ``high``.

    ``low`` itself is refused with ``open_low``, and infinity always. Where
    the type raises, argparse names the option and ends with exit code 2.
    """
    kinds = 'a whole number' if kind is int else 'a number'
    kinds += f' above {low:g}' if open_low else f' of at least {low:g}'
    if high != float('inf'):
        kinds += f' and at most {high:g}'

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = float('nan')
        inside = low < value if open_low else low <= value
        if inside and value <= high and value != float('inf'):
            return value
        raise argparse.ArgumentTypeError(f'takes {kinds}, got {text!r}')

    return read


positive_int = number(int, 1)
natural_int = number(int, 0)
probability = number(float, 0, 1)
seconds = number(float, 0, open_low=True)


@dataclass(frozen=True)
class ModelOptions:
    """The model that a command line names; see the help of its options."""

    config: str = CONFIG
    checkpoint: Optional[str] = None
    device: str = 'auto'
    cfg_options: Optional[Dict[str, Any]] = None
    trust: bool = False
    # of apply_inference, what is not the default
    inference: Dict[str, Any] = field(default_factory=dict)

    def load(self, **kwargs) -> ViFiCLIPInferencer:
        """Load the model, with more arguments of :class:`ViFiCLIPInferencer`
        such as ``labels``; MMEngine's messages go to standard error."""
        quiet_logs()
        from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
        return ViFiCLIPInferencer(
            self.config, self.checkpoint, self.device, self.trust,
            self.cfg_options, **kwargs, **self.inference)


def add_model_arguments(parser: argparse.ArgumentParser,
                        several: bool = False,
                        default: Optional[str] = None) -> None:
    """Add the options of :class:`ModelOptions`.

    Args:
        several (bool): ``--config`` and ``--checkpoint`` take several, for
            commands that put models side by side.
        default (str, optional): What the help says of a command that finds
            its config itself; ``config`` is None then.
    """
    group = parser.add_argument_group('model')
    config, checkpoint, many = (None if default else CONFIG), None, {}
    if several:
        config, checkpoint, many = [config], [checkpoint], dict(nargs='+')
    words = default or ("vifi_zero_shot, which without a checkpoint is "
                        "OpenAI's CLIP ViT-B/16")
    group.add_argument(
        '--config', default=config, help='a config file, or the name of one '
        "that comes along; 'small_world' needs no download (default: "
        f'{words})', **many)
    group.add_argument(
        '--checkpoint', default=checkpoint, help='trained weights, a file or '
        'a web address (default: those that the config names)', **many)
    group.add_argument('--device', default='auto', help='cpu, cuda:0 ... '
                       '(default: a GPU if there is one)')
    add_config_arguments(group)
    add_inference_arguments(parser)


def add_config_arguments(parser: Any) -> None:
    """Add ``--cfg-options`` and ``--trust`` to a parser or a group."""
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='override settings of the config: nested keys with dots, lists '
        'as KEY="[a,b]"')
    parser.add_argument(
        '--trust', action='store_true', help='let checkpoint files run code '
        'while they load; only for files whose origin you trust')


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``apply_inference``, all off by default."""
    group = parser.add_argument_group(
        'faster for a tolerance', 'docs/performance.md has the cost of each')
    group.add_argument(
        '--precision', choices=_PRECISIONS, default='fp32',
        help='numbers of the image tower (default: fp32)')
    group.add_argument(
        '--compile', action='store_true',
        help='torch.compile the image tower for the shape of the first batch')
    group.add_argument(
        '--text-bf16', action='store_true',
        help='the text tower in bfloat16, for very many classes')


def inference_settings(args: argparse.Namespace) -> Dict[str, Any]:
    """Take the arguments of ``apply_inference`` out, and return those that
    are not its defaults."""
    settings = {name: vars(args).pop(name)
                for name in ('precision', 'compile', 'text_bf16')}
    return {name: value for name, value in settings.items()
            if value not in ('fp32', False)}


def model_options(args: argparse.Namespace) -> ModelOptions:
    """Collect the options of :func:`add_model_arguments`."""
    return ModelOptions(args.config, args.checkpoint, args.device,
                        args.cfg_options, args.trust,
                        inference_settings(args))


def several_model_options(args: argparse.Namespace,
                          parser: argparse.ArgumentParser
                          ) -> List[ModelOptions]:
    """Collect one model for each checkpoint (``several=True``)."""
    configs, checkpoints = list(args.config), list(args.checkpoint)
    if len(configs) == 1:
        configs *= len(checkpoints)
    elif checkpoints == [None]:
        checkpoints *= len(configs)
    if len(configs) != len(checkpoints):
        parser.error(
            f'--config names {len(configs)} configs and --checkpoint '
            f'{len(checkpoints)} checkpoints: give one config, or one for '
            "each checkpoint ('none' for a config's own weights)")
    shared = model_options(args)
    return [replace(shared, config=config, checkpoint=checkpoint)
            for config, checkpoint in zip(configs, checkpoints)]


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that MMAction2's train.py and test.py share."""
    parser.add_argument('--work-dir', help='folder for logs and results '
                        '(default: work_dirs/<name of the config>, with the '
                        'knobs that are turned)')
    add_config_arguments(parser)
    parser.add_argument(
        '--amp', action='store_true', help='bfloat16 autocast (CPU and GPU)')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none', help='job launcher; tools/dist_*.sh set it')
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0,
        help=argparse.SUPPRESS)


def common_options(args: argparse.Namespace) -> Dict[str, Any]:
    """Take the options of :func:`add_common_arguments` but ``--amp`` out, as
    ``apis.config.load_config`` has them."""
    # for MMEngine, where a launcher says it as an option
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    del args.local_rank
    return {name: vars(args).pop(name)
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
