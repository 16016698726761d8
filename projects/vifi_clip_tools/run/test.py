"""``vifi-clip test``: test a checkpoint, as MMAction2's tool does."""
import argparse
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence

from ..cli.options import (HelpFormatter, add_common_arguments,
                           add_inference_arguments, common_options,
                           inference_settings)

_EPILOG = """
examples:
  vifi-clip test vifi_k400 work_dirs/vifi_k400/epoch_30.pth --single-view
  EVAL=hmdb51 vifi-clip test vifi_zero_shot CHECKPOINT --metrics hmdb51.json
  TUNE=none vifi-clip test vifi_zero_shot none        # frozen CLIP
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_test.sh" vifi_k400 CHECKPOINT 8
"""


@dataclass(frozen=True)
class Options:
    """What ``vifi-clip test --help`` explains."""

    config: str
    checkpoint: str
    amp: bool
    single_view: bool
    dump: Optional[str]
    predictions: Optional[str]
    metrics: Optional[str]
    bad_videos: Optional[str]
    inference: Dict[str, Any]  # of apply_inference
    common: Dict[str, Any]  # of load_config


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Test a recognizer', epilog=_EPILOG,
        formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, or its name')
    parser.add_argument(
        'checkpoint', help="checkpoint file, or 'none' to test the model as "
        'its config builds it (e.g. frozen CLIP)')
    add_common_arguments(parser)
    parser.add_argument(
        '--single-view', action='store_true',
        help='one view per video (the config\'s val_pipeline) instead of all '
        'temporal and spatial views')
    parser.add_argument('--dump', help='write all scores to this .pkl file')
    parser.add_argument(
        '--predictions', help='write each video\'s label and prediction to '
        'this .csv file')
    parser.add_argument(
        '--metrics', help='write the metrics, and what was tested how, to '
        'this .json file')
    parser.add_argument(
        '--bad-videos', choices=['error', 'count_as_wrong'],
        help='what to do with a video that cannot be read (default: the '
        "config's setting, an error)")
    add_inference_arguments(parser)
    args = parser.parse_args(argv)
    return Options(inference=inference_settings(args),
                   common=common_options(args), **vars(args))


def run(options: Options) -> None:
    """Test; the metrics are printed."""
    from .testing import test
    test(options)
