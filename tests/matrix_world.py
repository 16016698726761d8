"""Records of runs that nobody ran, and folders of them."""
import json
from pathlib import Path
from typing import Iterable, Optional

from projects.vifi_clip_configs.knobs import read_knobs
from projects.vifi_clip.evaluation import COLUMNS
from projects.vifi_clip_tools.paper.layout import ROOT, Layout, wanted_knobs
from projects.vifi_clip_tools.paper.runs import Run, Table, by_name


def clear_knobs(monkeypatch) -> None:
    """An environment without knobs."""
    for path in (ROOT / 'configs').glob('*.py'):
        for name in read_knobs(str(path)):
            monkeypatch.delenv(name, raising=False)


def write_record(layout: Layout, run: Run, metrics: dict,
                 **changes) -> Path:
    """What the test of a run writes at its end."""
    record = dict(
        config=f'{run.config}.py', checkpoint='none',
        knobs=wanted_knobs(run), templates='a photo of a {}.',
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        single_view=False, metrics=metrics)
    path = Path(layout.path(run.name, 'metrics.json'))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**record, **changes}))
    return path


def write_training(layout: Layout, name: str) -> str:
    """What a finished training leaves; returns its checkpoint."""
    folder = Path(layout.path(name))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_9.pth'))
    Path(layout.path(name, 'trained')).touch()
    return str(folder / 'epoch_9.pth')


def fill_folder(layout: Layout, tables: Iterable[Table],
                left_out: Optional[set] = None) -> None:
    """Records of all runs, a little beside the paper's figures, and
    predictions that go with them."""
    metrics: dict = {}
    for table in tables:
        for cell in table.cells:
            mean, std = cell.paper or 40., cell.paper_std or 0.5
            for i, name in enumerate(cell.runs):
                value = (mean + i - 0.7) / cell.scale
                metrics.setdefault(name, {})[cell.metric] = value
                if cell.std:
                    metrics[name][cell.std] = std / cell.scale
    for name, run in by_name(tables).items():
        if not run.test or name in (left_out or ()):
            continue
        if run.config == 'vifi_mini':
            for key in metrics[name]:
                if key.endswith('acc/top1') and not key.startswith('HM/'):
                    right = round(100 * metrics[name][key])
                    metrics[name][key] = right / 100
                    write_predictions(
                        layout, run, range(100),
                        [i if i < right else -1 for i in range(100)],
                        key.rpartition('acc/')[0].rstrip('/'))
        write_record(layout, run, metrics[name])


def write_predictions(layout: Layout, run: Run, labels: Iterable[int],
                      predicted: Iterable[int], part: str = '') -> Path:
    """What a run's test writes with --predictions."""
    path = Path(layout.predictions_file(run.name, part))
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [','.join(COLUMNS)]
    lines += [f'v{i}.mp4,{label},{guess},0.5,,'
              for i, (label, guess) in enumerate(zip(labels, predicted))]
    path.write_text('\n'.join(lines) + '\n')
    return path
