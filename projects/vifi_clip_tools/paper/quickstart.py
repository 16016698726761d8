"""The whole story on the small world, in steps that are done once."""
import hashlib
import json
import os
import os.path as osp
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from matplotlib.figure import Figure

from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.datasets.video_list import read_video_list
from projects.vifi_clip.evaluation import read_predictions
from projects.vifi_clip.files import sha256_of, write_bytes, write_text
from projects.vifi_clip_configs.shipped import root
from ..cli.outputs import check_folder
from ..cli.processes import run_step
from ..cli.tables import markdown_table
from ..mini_world.build import build
from ..mini_world.world import WorldParams
from ..predict import command as predict
from ..run import test, train
from .options import QuickstartOptions
from .report import draw_bars
from .results import Result
from .runs import Cell

Results = Dict[str, List[dict]]
CONFIGS = root() / 'configs'
# Where configs/vifi_mini.py looks by default.
MINI_CLIP = 'work_dirs/mini_clip/mini_clip.pth'
VIEWS = dict(single=['--single-view'], multi=[])
_HEADS = dict(single='1 view', multi='4x3 views')


def quickstart(options: QuickstartOptions) -> Results:
    """Run all steps; returns the results by model."""
    check_folder('--work-dir', options.work_dir)
    check_folder('--data-root', options.data_root)
    print('The small world')
    data = make_data(options.data_root)
    os.environ['DATA_ROOT'] = options.data_root
    clip = os.environ['MINI_CLIP'] = pretrain(options.work_dir, data)
    base = osp.join(osp.dirname(clip), 'vifi-' + code_digest('vifi_mini'))
    results: Results = {'frozen CLIP': [
        evaluate('frozen CLIP', 'none', osp.join(base, 'frozen'))]}
    tuned = results['ViFi-CLIP (fine-tuned)'] = []
    for seed in options.seeds:
        work = osp.join(base, f'seed_{seed}')
        # The test says more than a validation would.
        checkpoint = _train(f'fine-tuning on videos, seed {seed}',
                            'vifi_mini', work, '--seed', str(seed),
                            '--no-validate')
        tuned.append(evaluate(f'ViFi-CLIP, seed {seed}', checkpoint, work))
    write_table(results, options.data_root, options.work_dir)
    picture = draw_picture(results, options.data_root, options.work_dir)
    stable = osp.join(options.work_dir, 'vifi_mini.pth')
    write_bytes(stable, Path(checkpoint).read_bytes())
    print(f'Picture: {picture}\n')
    _predict(options, stable)
    print('\nAny video, any labels:\n  vifi-clip predict VIDEO --config '
          f'vifi_mini \\\n    --checkpoint {stable} \\\n    --labels '
          '"a red ring spinning, a blue star blinking"')
    return results


def make_data(data_root: str) -> str:
    """Render the data set; returns a digest that tells which one it is."""
    build(data_root, WorldParams())
    return sha256_of(Path(data_root, 'manifest.json'))[:10]


def code_digest(name: str) -> str:
    """Tells configs apart, so that no result of old settings is kept."""
    files = [CONFIGS / f'{name}.py', *sorted(CONFIGS.glob('_base_/**/*.py'))]
    text = ''.join(file.read_text() for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def pretrain(work_dir: str, data: str) -> str:
    """Train the small CLIP on still frames, once; returns its checkpoint."""
    work = osp.join(work_dir, f'clip-{data}-{code_digest("mini_clip")}')
    checkpoint = _train('CLIP on captioned stills', 'mini_clip', work)
    write_bytes(MINI_CLIP, Path(checkpoint).read_bytes())
    return checkpoint


def _train(title: str, config: str, work: str, *options: str) -> str:
    """Train what is not trained; returns the last checkpoint."""
    done = Path(work, 'done')
    if not done.exists():
        run_step(title, lambda argv: train.run(train.parse_args(argv)),
                 [str(CONFIGS / f'{config}.py'), '--work-dir', work,
                  '--resume', *options], osp.join(work, 'train.log'))
        done.touch()
    return Path(work, 'last_checkpoint').read_text()


def evaluate(title: str, checkpoint: str, work: str) -> dict:
    """Top-1 in percent by view, and predictions of the single view."""
    target = Path(work, 'results.json')
    if target.exists():
        return json.loads(target.read_text())
    results = {}
    for views, options in VIEWS.items():
        predictions = osp.join(work, f'{views}.csv')
        metrics = run_step(
            f'{title}, {views} view',
            lambda argv: test.test(test.parse_args(argv)),
            [str(CONFIGS / 'vifi_mini.py'), checkpoint, '--work-dir', work,
             '--predictions', predictions, *options],
            osp.join(work, f'{views}.log'))
        results[views] = 100 * float(metrics['acc/top1'])
        results[f'{views}_labels'] = read_predictions(predictions)[2].tolist()
    write_text(target, json.dumps(results))
    return results


def _predict(options: QuickstartOptions, checkpoint: str) -> None:
    """The user's own videos, or those that no training video is like."""
    videos, more = options.videos, []
    if not videos:
        labels, listed = (
            osp.join(options.data_root, 'annotations', f'zero_shot_{name}.txt')
            for name in ('classes', 'val'))
        # One of each class.
        rows = {label: path for path, label in read_video_list(listed)}
        videos = [osp.join(options.data_root, path) for path in rows.values()]
        print('Classes without training videos; folders name the true class:')
        more = ['--topk', '2', '--labels', labels]
    predict.run(predict.parse_args([
        *videos, '--config', str(CONFIGS / 'vifi_mini.py'), '--checkpoint',
        checkpoint, *more]))


def _test_set(data_root: str) -> Tuple[List[str], List[Tuple[str, int]]]:
    """Names of the classes; path and label of each test video."""
    lists = osp.join(data_root, 'annotations')
    return (read_class_list(osp.join(lists, 'classes.txt')),
            read_video_list(osp.join(lists, 'val.txt')))


def _filled(results: Results) -> List[Result]:
    """The cells of the table: of each model with one view, and with all."""
    return [Result(Cell(name, column, ('', ) * len(runs)),
                   tuple(run[views] for run in runs))
            for name, runs in results.items()
            for views, column in _HEADS.items()]


def write_table(results: Results, data_root: str, out_dir: str) -> str:
    """Print the results, and save them as results.md and results.json in
    ``out_dir``; return the table in Markdown. ``results`` has by model its
    runs, one for each seed, with top-1 in percent under each view."""
    classes, videos = _test_set(data_root)
    chance = f'{100 / len(classes):.1f}'
    rows = [['chance', chance, chance, '']]
    for name, runs in results.items():
        cells = [result.text() for result in _filled({name: runs})]
        rows.append([name, *cells, str(len(runs)) if len(runs) > 1 else ''])
    table = markdown_table(['top-1 (%)', *_HEADS.values(), 'seeds'], rows)
    print(f'\n{table}\n({len(videos)} test videos, {len(classes)} classes)\n')
    write_text(osp.join(out_dir, 'results.md'), table + '\n')
    write_text(osp.join(out_dir, 'results.json'),
               json.dumps(results, indent=1))
    return table


def draw_picture(results: Results, data_root: str, out_dir: str) -> str:
    """Draw accuracy bars beside frames of test videos with their predictions;
    returns the path of the PNG."""
    classes, videos = _test_set(data_root)
    figure = Figure((12, 4.2), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=[1, 2])
    axes = left.subplots()
    draw_bars(axes, 'Small world, test videos, top-1', _filled(results),
              {name: f'C{i}' for i, name in enumerate(results)})
    axes.axhline(100 / len(classes), color='grey', ls='--', lw=1,
                 label='chance')
    axes.legend(frameon=False)
    axes.margins(y=0.35)
    # Four test videos that fine-tuning got right and frozen CLIP did not,
    # spread over the list; any, if there are none.
    frozen, tuned = (runs[0]['single_labels'] for runs in results.values())
    gained = [i for i, (_, label) in enumerate(videos)
              if tuned[i] == label != frozen[i]] or list(range(len(videos)))
    spread = np.linspace(0, len(gained) - 1, 4).round().astype(int)
    for axes, k in zip(right.subplots(len(spread), 1), spread):
        i = gained[k]
        path, label = videos[i]
        video = open_video(osp.join(data_root, path))
        inds = np.linspace(0, len(video) - 1, 8).astype(int)
        axes.imshow(np.concatenate(video.frames(inds), 1))
        axes.set_axis_off()
        axes.set_title(
            f'{classes[label]}   |   frozen: {classes[frozen[i]]}   |   '
            f'fine-tuned: {classes[tuned[i]]}', fontsize=8)
    path = osp.join(out_dir, 'results.png')
    figure.savefig(path, dpi=110)
    return path
