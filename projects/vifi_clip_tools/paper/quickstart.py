"""The whole story on the small world: ``tools/quickstart.sh``."""
import argparse
import hashlib
import json
import os
import os.path as osp
import subprocess
import sys
from pathlib import Path
from typing import Optional, Sequence

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.evaluation.predictions_file import read_predictions
from projects.vifi_clip.resources import root
from ..run import test, train
from ..cli.options import HelpFormatter
from .quickstart_report import draw_picture, write_table
from ..cli.processes import run_step

ROOT = root()
MINI_CLIP = 'work_dirs/mini_clip/mini_clip.pth'
VIEWS = dict(single=['--single-view'], multi=[])


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the quick start."""
    parser = argparse.ArgumentParser(
        description='Make the small world, train its CLIP, fine-tune it on '
        'videos and compare. What is finished is not done again.',
        epilog='examples:\n  vifi-clip quickstart\n'
        '  vifi-clip quickstart my.mp4 --seeds 0 1 2',
        formatter_class=HelpFormatter)
    parser.add_argument('videos', nargs='*',
                        help='videos of your own to recognise at the end')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0],
                        help='seeds to fine-tune with (default: 0)')
    parser.add_argument('--work-dir', default='work_dirs/quickstart')
    parser.add_argument('--data-root', default='data/mini')
    return parser.parse_args(argv)


def config(name: str) -> str:
    """Path of an entry config of this checkout."""
    return str(ROOT / 'configs' / f'{name}.py')


def make_data(data_root: str) -> str:
    """Render the data set; returns a digest that tells which one it is."""
    tool = ROOT / 'tools' / 'make_mini_dataset.py'
    made = subprocess.run([sys.executable, tool, '--out', data_root])
    if made.returncode:
        raise UserError('the small world could not be made; see above')
    manifest = (Path(data_root) / 'manifest.json').read_bytes()
    return hashlib.sha256(manifest).hexdigest()[:10]


def code_digest(*names: str) -> str:
    """Tells configs apart, so that no result of old settings is kept."""
    files = [config(name) for name in names]
    files += sorted(str(p) for p in (ROOT / 'configs/_base_').rglob('*.py'))
    text = ''.join(Path(file).read_text() for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def pretrain(args: argparse.Namespace, data: str) -> str:
    """Train the small CLIP on still frames, once."""
    work = osp.join(args.work_dir, f'clip-{data}-{code_digest("mini_clip")}')
    target = osp.join(work, 'mini_clip.pth')
    if not osp.exists(target):
        run_step('CLIP on captioned stills', train.main,
                 [config('mini_clip'), '--work-dir', work, '--resume'],
                 osp.join(work, 'train.log'))
        _copy(Path(work, 'last_checkpoint').read_text(), target)
    _copy(target, MINI_CLIP)  # where configs/vifi_mini.py looks by default
    return target


def _copy(source: str, target: str) -> None:
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    AtomicLocalBackend().put(Path(source).read_bytes(), target)


def evaluate(title: str, checkpoint: str, work: str) -> dict:
    """Top-1 in percent by view, and predictions of the single view."""
    target = osp.join(work, 'results.json')
    if osp.exists(target):
        return json.loads(Path(target).read_text())
    results = {}
    for views, options in VIEWS.items():
        predictions = osp.join(work, f'{views}.csv')
        metrics = run_step(
            f'{title}, {views} view', test.main,
            [config('vifi_mini'), checkpoint, '--work-dir', work,
             '--predictions', predictions, *options],
            osp.join(work, f'{views}.log'))
        results[views] = 100 * float(metrics['acc/top1'])
        results[f'{views}_labels'] = read_predictions(predictions)[2].tolist()
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    AtomicLocalBackend().put(json.dumps(results).encode(), target)
    return results


def fine_tune(seed: int, work: str) -> str:
    """Fine-tune on the videos; returns the last checkpoint."""
    marker = Path(work, 'last_checkpoint')
    done = osp.join(work, 'done')
    if not osp.exists(done):
        run_step(f'fine-tuning on videos, seed {seed}', train.main,
                 [config('vifi_mini'), '--work-dir', work, '--seed',
                  str(seed), '--resume', '--no-validate'],
                 osp.join(work, 'train.log'))  # the test says more
        Path(done).touch()
    return marker.read_text()


def main(argv: Optional[Sequence[str]] = None) -> dict:
    """Run all steps; returns the results by model."""
    args = parse_args(argv)
    missing = [video for video in args.videos if not osp.isfile(video)]
    if missing:
        raise FileNotFoundError(f'No such video: {", ".join(missing)}')
    print('The small world')
    data = make_data(args.data_root)
    os.environ['DATA_ROOT'] = args.data_root
    clip = os.environ['MINI_CLIP'] = pretrain(args, data)
    base = osp.join(osp.dirname(clip), 'vifi-' + code_digest('vifi_mini'))
    results = {'frozen CLIP': [
        evaluate('frozen CLIP', 'none', osp.join(base, 'frozen'))]}
    tuned = results['ViFi-CLIP (fine-tuned)'] = []
    for seed in args.seeds:
        work = osp.join(base, f'seed_{seed}')
        checkpoint = fine_tune(seed, work)
        tuned.append(evaluate(f'ViFi-CLIP, seed {seed}', checkpoint, work))
    write_table(results, args.data_root, args.work_dir)
    picture = draw_picture(results, args.data_root, args.work_dir)
    stable = osp.join(args.work_dir, 'vifi_mini.pth')
    _copy(checkpoint, stable)
    print(f'Picture: {picture}\n')
    _predict(args, stable)
    print('\nAny video, any labels:\n  python tools/predict.py VIDEO --config '
          f'vifi_mini \\\n    --checkpoint {stable} \\\n    --labels '
          '"a red ring spinning, a blue star blinking"')
    return results


def _predict(args: argparse.Namespace, checkpoint: str) -> None:
    """The user's own videos, or one that no training video is like."""
    from ..predict.command import parse_args, run
    videos = args.videos
    options = []
    if not videos:
        lists = Path(args.data_root, 'annotations')
        labels = lists / 'zero_shot_classes.txt'
        names = labels.read_text().splitlines()
        rows = [line.rsplit(' ', 1) for line in
                (lists / 'zero_shot_val.txt').read_text().splitlines()]
        rows = {int(label): path for path, label in rows}  # one of each class
        videos = [osp.join(args.data_root, path) for path in rows.values()]
        print('Classes that no training video shows; folders tell the truth:')
        options = ['--topk', '2', '--labels', str(labels)]
        assert len(names) == len(videos)
    run(parse_args([*videos, '--config', config('vifi_mini'),
                    '--checkpoint', checkpoint, *options]))
