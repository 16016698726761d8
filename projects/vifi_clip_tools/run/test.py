"""``vifi-clip test``: test a checkpoint, as MMAction2's tool does."""
import argparse
from typing import Optional, Sequence

from ..cli.options import (HelpFormatter, add_common_arguments,
                           add_inference_arguments, common_options,
                           inference_settings)
from .options import Options

_EPILOG = """
examples:
  vifi-clip test vifi_k400 work_dirs/vifi_k400/epoch_30.pth --single-view
  EVAL=hmdb51 vifi-clip test vifi_zero_shot CHECKPOINT --metrics hmdb51.json
  TUNE=none vifi-clip test vifi_zero_shot none        # frozen CLIP
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_test.sh" vifi_k400 CHECKPOINT 8
"""


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
    return Options(
        args.config, args.checkpoint, args.amp, args.single_view, args.dump,
        args.predictions, args.metrics, args.bad_videos,
        inference_settings(args), common_options(args))


def run(options: Options) -> None:
    """Test; the metrics are printed."""
    from .testing import test
    test(options)
