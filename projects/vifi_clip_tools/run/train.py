"""``vifi-clip train``: train a config, as MMAction2's tool does."""
import argparse
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence

from ..cli.options import HelpFormatter, add_common_arguments, common_options

_EPILOG = """
examples:
  vifi-clip train vifi_k400 --amp
  DATASET=ucf101 SHOTS=4 TUNE=prompt vifi-clip train vifi_few_shot --seed 1
  vifi-clip train my.py --work-dir runs/a --resume --auto-accumulate 256
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_train.sh" vifi_k400 8 --amp
"""


@dataclass(frozen=True)
class Options:
    """Arguments of ``apis.runs.train``; ``common`` are of ``load_config``."""

    config: str
    amp: bool
    resume: Optional[str]
    validate: bool
    auto_scale_lr: bool
    auto_accumulate: Optional[int]
    seed: Optional[int]
    diff_rank_seed: bool
    deterministic: bool
    common: Dict[str, Any]


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train a recognizer', epilog=_EPILOG,
        formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, or its name')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume', nargs='?', const='auto', help='go on from this '
        'checkpoint, or from the latest of the work directory if none is '
        'named')
    parser.add_argument(
        '--no-validate', dest='validate', action='store_false',
        help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help='scale the learning rate by the batch size')
    parser.add_argument(
        '--auto-accumulate', type=int, metavar='N',
        help='N samples in each optimizer step, over all processes: sets '
        'accumulative_counts, and a smaller train_dataloader.batch_size where '
        "the config's does not fit in memory (tried before training)")
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true',
        help='another seed on every process')
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic CUDNN')
    args = parser.parse_args(argv)
    return Options(common=common_options(args), **vars(args))


def run(options: Options) -> None:
    """Train."""
    from projects.vifi_clip.apis.runs import train
    arguments = dict(vars(options))
    train(**arguments.pop('common'), **arguments)
