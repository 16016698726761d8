"""Measured points beside the model's predictions."""
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .cost import Machine, Work, flops, memory

EVAL, TRAIN = 'eval_view', 'train_step'
_NEEDED = ('workload', 'frames', 'batch', 'classes', 'tune', 'seconds')
_OPTIONAL = ('tokens', 'accumulation', 'text_once', 'cached', 'checkpointing',
             'class_chunk', 'bytes', 'processes', 'strategy')


@dataclass(frozen=True)
class Point:
    """One measured step.

    Attributes:
        workload (str): 'eval_view' or 'train_step'.
        work (Work): Its settings.
        seconds (float): Time of a micro-batch.
        peak_bytes (float, optional): Peak memory of the process.
    """
    workload: str
    work: Work
    seconds: float
    peak_bytes: Optional[float] = None


def read_points(path: str) -> List[Point]:
    """Points of a JSON file: a list of objects, or one under ``points``.

    Others than 'eval_view' and 'train_step' are passed over.

    Raises:
        ValueError: The file is no such list, or a point lacks a field.
    """
    with open(path, encoding='utf-8') as file:
        try:
            content = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path} is no JSON: {error}') from error
    rows = content.get('points') if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise ValueError(f'{path}: give a list of points, or an object with '
                         'one under "points"')
    return [
        _point(row, f'{path}: point {i}') for i, row in enumerate(rows)
        if isinstance(row, dict) and row.get('workload') in (EVAL, TRAIN)
    ]


def _point(row: Dict[str, Any], where: str) -> Point:
    missing = [name for name in _NEEDED if name not in row]
    if missing:
        raise ValueError(f'{where} has no {", ".join(missing)}')
    if not row['seconds'] > 0:
        raise ValueError(f'{where}: seconds={row["seconds"]}')
    if (row['workload'] == EVAL) != (row['tune'] == 'none'):
        raise ValueError(f'{where}: {row["workload"]} with tune='
                         f'{row["tune"]!r}; a test has "none"')
    names = _NEEDED[1:5] + tuple(n for n in _OPTIONAL if n in row)
    try:
        work = Work(**{name: row[name] for name in names})
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: {error}') from error
    return Point(row['workload'], work, row['seconds'], row.get('peak_bytes'))


@dataclass(frozen=True)
class Calibration:
    """What one measured point of each workload says of the machine.

    Attributes:
        machines (dict[str, Machine]): By workload: its first point's FLOPs
            over its time.
        base_bytes (float): Memory of a process before the model: what the
            first training point has more than the closed form.
        first (list[Point]): The points that this comes from; they are no
            predictions.
    """
    machines: Dict[str, Machine]
    base_bytes: float
    first: List[Point]

    def seconds(self, point: Point) -> float:
        """Predicted time of a micro-batch."""
        return sum(flops(point.work).values()) / self.machines[
            point.workload].flops

    def peak(self, work: Work) -> float:
        """Predicted peak memory of a training step."""
        return self.base_bytes + sum(memory(work).values())


def calibrate(points: List[Point]) -> Calibration:
    """From the first point of each workload.

    Raises:
        ValueError: There is no point.
    """
    if not points:
        raise ValueError('no measured point to calibrate on')
    first: Dict[str, Point] = {}
    for point in points:
        first.setdefault(point.workload, point)
    machines = {
        kind: Machine(sum(flops(point.work).values()) / point.seconds)
        for kind, point in first.items()
    }
    base, train = 0.0, first.get(TRAIN)
    if train is not None and train.peak_bytes:
        base = train.peak_bytes - sum(memory(train.work).values())
    return Calibration(machines, base, list(first.values()))
