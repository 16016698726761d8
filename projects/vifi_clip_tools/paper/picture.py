"""The tables as bars."""
import io
from typing import Dict, List, Optional, Tuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .results import Result
from .runs import Table

_PER_ROW = 3


def draw(filled: List[Tuple[Table, List[Result]]]) -> Optional[bytes]:
    """Draw a panel of bars for each table, or for each data set of it: a PNG,
    or None if nothing has been run."""
    panels = []
    for table, results in filled:
        title = table.title.split(':')[0].split(' (')[0]
        for group in dict.fromkeys(r.cell.group for r in results):
            # Compute, which has no runs, has other units.
            part = [r for r in results if r.cell.group == group
                    and r.mean is not None and r.cell.runs]
            if part:
                panels.append((f'{table.key}. {title}'
                               + (f': {group}' if group else ''), part))
    if not panels:
        return None
    shown = [r for _, part in panels for r in part]
    # A method has one colour in all panels.
    colours = {row: f'C{i}' for i, row in enumerate(
        dict.fromkeys(r.cell.row for r in shown))}
    columns = min(_PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure((4.6 * columns, 2.9 * rows + 0.8), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat[len(panels):]:
        panel.set_axis_off()
    for (title, part), panel in zip(panels, axes.flat):
        draw_bars(panel, title, part, colours)
    marks = [Patch(color=colour, label=row)
             for row, colour in colours.items()]
    if any(r.cell.paper is not None for r in shown):
        marks.append(Line2D([], [], color='black', lw=1.5, label='the paper'))
    if any(r.std is not None for r in shown):
        marks.append(Line2D([], [], color='black', lw=0, marker='|', ms=10,
                            label='± standard deviation'))
    figure.legend(handles=marks, loc='outside upper center', fontsize=9,
                  ncols=min(len(colours) + 2, 3 * columns), frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=100)
    return out.getvalue()


def draw_bars(axes, title: str, results: List[Result],
              colours: Dict[str, str]) -> None:
    """Draw grouped bars of ours, a colour for each row, labelled for a
    legend; a line where the paper's figure is."""
    rows = list(dict.fromkeys(r.cell.row for r in results))
    columns = list(dict.fromkeys(r.cell.column for r in results))
    width = 0.8 / len(rows)
    top = max(r.mean for r in results)
    for result in results:
        row = result.cell.row
        place = columns.index(result.cell.column) + width * (
            rows.index(row) - (len(rows) - 1) / 2)
        axes.bar(place, result.mean, width * 0.92, yerr=result.std,
                 color=colours[row], error_kw=dict(lw=1),
                 label=row if result.cell.column == columns[0] else None)
        inside = result.mean > 0.15 * top
        axes.text(place, 0 if inside else result.mean,
                  f' {result.mean:.1f}', rotation=90, ha='center',
                  va='bottom', fontsize=7,
                  color='white' if inside else 'black')
        if result.cell.paper is not None:
            axes.plot([place - width / 2, place + width / 2],
                      [result.cell.paper] * 2, color='black', lw=1.5)
    # 'hmdb51 K=16' beside 'ucf101 K=16' needs two lines
    labels = columns if len(columns) < 4 else [
        column.replace(' ', '\n') for column in columns]
    axes.set_xticks(range(len(columns)), labels)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.set_title(title, fontsize=9)
    axes.set_ylabel('%')
    axes.margins(y=0.1)
