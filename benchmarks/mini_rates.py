"""Choose learning rates for the small world, METHOD by METHOD.

    python benchmarks/mini_rates.py vifi actionclip xclip a5 lora

Needs what `bash tools/quickstart.sh` makes. Each is trained with each rate,
seed 0, on the first 24 training clips of each of the 24 classes and evaluated
on the other 8, with one view; ``lora`` is TUNE=lora. No clip of a test list is
looked at, and `vifi-clip matrix --mini` has the seeds 1 to 3. docs/mini.md has
the figures, configs/_base_/methods/ the choice.
"""
import argparse
import json
import os
from pathlib import Path

import torch

from projects.vifi_clip.files import write_text
from projects.vifi_clip_tools.cli.processes import run_step
from projects.vifi_clip_tools.run import train

RATES = dict(vifi=(1e-4, 3e-4, 1e-3), actionclip=(1e-4, 3e-4, 1e-3),
             xclip=(1e-4, 3e-4, 1e-3), a5=(1e-3, 3e-3, 1e-2),
             a6=(3e-4, 1e-3, 3e-3), tc_clip=(3e-4, 1e-3, 3e-3),
             st_adapter=(1e-3, 3e-3, 1e-2), aim=(1e-3, 3e-3, 1e-2),
             lora=(1e-3, 3e-3, 1e-2))
# Knobs of those that are no METHOD.
_KNOBS = dict(lora=dict(METHOD='vifi', TUNE='lora'))
_TRAINED = 24  # clips of a class


def split(data_root: str, work_dir: str) -> None:
    """Part the training list into two, train.txt and val.txt."""
    listed = Path(data_root, 'annotations', 'train.txt').read_text()
    parts = dict(train='', val='')
    for line in listed.splitlines(keepends=True):
        clip = int(line.split('_')[-1].split('.')[0])
        parts['train' if clip < _TRAINED else 'val'] += line
    for part, text in parts.items():
        write_text(Path(work_dir, f'{part}.txt'), text)


def accuracy(method: str, rate: float, work_dir: str) -> float:
    """Train, unless that is done; return the last epoch's top-1 in percent."""
    name = f'{method}-{rate:g}'
    work = Path(work_dir, name).absolute()
    done = work / 'top1'
    if not done.exists():
        os.environ.pop('TUNE', None)
        os.environ.update(_KNOBS.get(method, dict(METHOD=method)))
        options = [f'optim_wrapper.optimizer.lr={rate}',
                   'train_cfg.val_interval=8']
        options += [f'{part}_dataloader.dataset.ann_file='
                    f'{work.with_name(part)}.txt' for part in ('train', 'val')]
        run_step(name, lambda argv: train.run(train.parse_args(argv)),
                 ['vifi_mini', '--work-dir', str(work), '--seed', '0',
                  '--cfg-options', *options], str(work / 'run.log'))
        scalars = sorted(work.glob('*/vis_data/scalars.json'))[-1]
        last = json.loads(scalars.read_text().splitlines()[-1])
        write_text(done, str(100 * last['acc/top1']))
    return float(done.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('methods', nargs='+', choices=sorted(RATES))
    parser.add_argument('--rates', type=float, nargs='+',
                        help='in place of those of the table')
    parser.add_argument('--data-root', default='data/mini')
    parser.add_argument('--work-dir', default='work_dirs/mini_rates')
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.update(
        DATA_ROOT=os.path.abspath(args.data_root), WORKERS='0',
        FRAMES_DIR=os.path.abspath(os.path.join(args.work_dir, 'frames')))
    split(args.data_root, args.work_dir)
    for method in args.methods:
        for rate in args.rates or RATES[method]:
            top1 = accuracy(method, rate, args.work_dir)
            print(f'{method:<12}{rate:<8g}{top1:.1f}', flush=True)


if __name__ == '__main__':
    main()
