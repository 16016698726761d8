"""``vifi-clip train``: train a config, as MMAction2's tool does."""
from dataclasses import dataclass
from typing import Optional

from ..cli.options import RunOptions
from ..cli.parsing import (argument, option, part, positive_int, random_seed,
                           reader)
from ..cli.screen import only_for_people

_EPILOG = """
examples:
  vifi-clip train vifi_k400 --amp
  # lists by vifi-clip splits, videos in VIDEO_DIR
  DATASET=ucf101 SHOTS=4 TUNE=prompts PRETRAINED=openai \\
      vifi-clip train vifi_few_shot --seed 1
  vifi-clip train my.py --work-dir runs/a --resume --auto-accumulate 256
  vifi-clip train my.py --work-dir runs/a --tensorboard
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_train.sh" vifi_k400 8 --amp
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Arguments of ``apis.runs.train``."""

    config: str = argument(help='config file, or its name')
    common: RunOptions = part(RunOptions)
    resume: Optional[str] = option(
        nargs='?', const='auto', help='resume from this checkpoint, or from '
        'the latest in the work directory if none is named')
    validate: bool = option(
        '--no-validate', action='store_false',
        help='do not evaluate during training')
    auto_scale_lr: bool = option(
        action='store_true', help='scale the learning rate by the batch size')
    auto_accumulate: Optional[int] = option(
        type=positive_int, metavar='N',
        help='use N samples in each optimizer step, over all processes: sets '
        'accumulative_counts, and a smaller train_dataloader.batch_size where '
        "the config's does not fit in memory (tried before training)")
    seed: Optional[int] = option(type=random_seed, help='random seed')
    diff_rank_seed: bool = option(action='store_true',
                                  help='use a different seed on every process')
    deterministic: bool = option(action='store_true',
                                 help='use deterministic CUDNN')
    tensorboard: bool = option(
        action='store_true', help='write losses and results for TensorBoard '
        '(tensorboard --logdir WORK_DIR)')
    wandb: bool = option(
        action='store_true', help='log to Weights & Biases; WANDB_PROJECT, '
        'WANDB_NAME and WANDB_MODE=offline are honoured')


parse_args = reader(Options, 'Train a recognizer', _EPILOG)


def run(options: Options) -> None:
    """Train."""
    from projects.vifi_clip.apis.runs import train, until_it_goes
    arguments = dict(vars(options))
    common = arguments.pop('common')
    with only_for_people(), until_it_goes(options.config,
                                          common.cfg_options):
        train(amp=common.amp, **common.settings(), **arguments)
