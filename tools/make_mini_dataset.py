"""Make the small world: a video data set for trying everything out.

    python tools/make_mini_dataset.py --out data/mini

A second start with the same options finds the data set and returns at once.
"""
import argparse
import sys
from pathlib import Path

# The package is imported on its own: by its full name, the plugin's __init__
# would load torch and MMAction2, which takes longer than the work here.
sys.path.append(
    str(Path(__file__).resolve().parents[1] / 'projects/vifi_clip/datasets'))

from mini_world import MiniWorldError, WorldParams, build  # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser(
        description='Render a small video data set: a training set and a '
        'target set of 24 classes each, 8 zero-shot classes and captioned '
        'still frames, with splits for every protocol.')
    parser.add_argument('--out', required=True, help='folder to make')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--workers',
        type=int,
        help='processes to render with; they do not change the result '
        '(default: one for each CPU)')
    parser.add_argument(
        '--train-per-class',
        type=int,
        default=32,
        help='training clips of each class of the training set '
        '(default: %(default)s)')
    parser.add_argument(
        '--target-train-per-class',
        type=int,
        help='training clips of each class of the target set; K-shot lists '
        'need K of them, 0 leaves the target set out (default: 24, or '
        '--train-per-class if that is less)')
    parser.add_argument(
        '--test-per-class',
        type=int,
        default=10,
        help='validation clips of each class (default: %(default)s)')
    parser.add_argument(
        '--num-stills',
        type=int,
        default=3000,
        help='captioned still frames (default: %(default)s)')
    parser.add_argument(
        '--size',
        type=int,
        default=64,
        help='side of the frames in pixels (default: %(default)s)')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace a data set made with other options')
    return parser.parse_args()


def main():
    args = vars(parse_args())
    run = {key: args.pop(key) for key in ('out', 'workers', 'force')}
    try:
        build(params=WorldParams(**args), **run)
    except (MiniWorldError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; nothing was left behind', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
