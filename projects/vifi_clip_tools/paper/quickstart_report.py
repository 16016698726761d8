"""The quick start's table and picture."""
import json
import os
import os.path as osp
from pathlib import Path
from typing import Dict, List

import numpy as np

Results = Dict[str, List[dict]]
_HEADS = dict(single='1 view', multi='4x3 views')


def _read(data_root: str, name: str) -> List[str]:
    return Path(data_root, 'annotations', name).read_text().splitlines()


def _mean_std(runs: List[dict], views: str) -> tuple:
    values = [run[views] for run in runs]
    return float(np.mean(values)), float(np.std(values, ddof=len(runs) > 1))


def write_table(results: Results, data_root: str, out_dir: str) -> str:
    """Print the results, and save them as Markdown and JSON.

    Args:
        results (dict): Model name to its runs, one for each seed, with top-1
            in percent under each view.
        data_root (str): The small world.
        out_dir (str): Gets ``results.md`` and ``results.json``.

    Returns:
        str: The table in Markdown.
    """
    chance = 100 / len(_read(data_root, 'classes.txt'))
    num = len(_read(data_root, 'val.txt'))
    rows = [['top-1 (%)', *_HEADS.values(), 'seeds'],
            ['chance', f'{chance:.1f}', f'{chance:.1f}', '']]
    for name, runs in results.items():
        cells = []
        for views in _HEADS:
            mean, std = _mean_std(runs, views)
            spread = f' ± {std:.1f}' if len(runs) > 1 else ''
            cells.append(f'{mean:.1f}{spread}')
        rows.append([name, *cells, str(len(runs)) if len(runs) > 1 else ''])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ['| ' + ' | '.join(c.ljust(w) for c, w in zip(row, widths)) + ' |'
             for row in rows]
    lines.insert(1, '|' + '|'.join('-' * (w + 2) for w in widths) + '|')
    table = '\n'.join(lines)
    print(f'\n{table}\n({num} test videos, {round(100 / chance)} classes)\n')
    os.makedirs(out_dir, exist_ok=True)
    Path(out_dir, 'results.md').write_text(table + '\n')
    Path(out_dir, 'results.json').write_text(json.dumps(results, indent=1))
    return table


def _examples(results: Results, truth: List[int], count: int = 4) -> list:
    """Test videos that fine-tuning got right and frozen CLIP did not (spread
    over the list), then any."""
    frozen, tuned = (runs[0]['single_labels'] for runs in results.values())
    gained = [i for i, label in enumerate(truth)
              if tuned[i] == label != frozen[i]] or list(range(len(truth)))
    return [gained[i] for i in np.linspace(0, len(gained) - 1, count
                                           ).round().astype(int)]


def draw_picture(results: Results, data_root: str, out_dir: str) -> str:
    """Accuracy bars beside frames of test videos with their predictions.

    Returns:
        str: Path of the PNG.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure = plt.figure(figsize=(12, 4.2), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=[1, 2])
    _bars(left.subplots(), results, len(_read(data_root, 'classes.txt')))
    _film_strips(right, results, data_root)
    path = osp.join(out_dir, 'results.png')
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _bars(axes, results: Results, num_classes: int) -> None:
    for i, (name, runs) in enumerate(results.items()):
        means, stds = zip(*(_mean_std(runs, views) for views in _HEADS))
        places = np.arange(len(_HEADS)) + (i - 0.5) * 0.36
        bars = axes.bar(places, means, 0.34, label=name,
                        yerr=stds if len(runs) > 1 else None)
        axes.bar_label(bars, fmt='%.1f', padding=2)
    axes.axhline(100 / num_classes, color='grey', ls='--', lw=1,
                 label='chance')
    axes.set_xticks(range(len(_HEADS)), _HEADS.values())
    axes.set_ylabel('top-1 accuracy (%)')
    axes.set_title('Small world, test videos')
    axes.margins(y=0.35)
    axes.legend(frameon=False)


def _film_strips(figure, results: Results, data_root: str) -> None:
    import decord
    names = _read(data_root, 'classes.txt')
    rows = [line.rsplit(' ', 1) for line in _read(data_root, 'val.txt')]
    truth = [int(label) for _, label in rows]
    chosen = _examples(results, truth)
    guesses = [runs[0]['single_labels'] for runs in results.values()]
    for axes, i in zip(figure.subplots(len(chosen), 1), chosen):
        video = decord.VideoReader(osp.join(data_root, rows[i][0]))
        inds = np.linspace(0, len(video) - 1, 8).astype(int)
        axes.imshow(np.concatenate(list(video.get_batch(inds).asnumpy()), 1))
        axes.set_axis_off()
        axes.set_title(
            f'{names[truth[i]]}   |   frozen: {names[guesses[0][i]]}   |   '
            f'fine-tuned: {names[guesses[1][i]]}', fontsize=8)
