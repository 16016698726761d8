"""From work directories to the paper's tables: in Markdown, as CSV, and as
bars."""
import io
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Tuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from projects.vifi_clip.files import write_bytes, write_text
from ..cli.tables import csv_lines, markdown_table
from .additions import gains_text
from .claims import judge, mini_claims, read_hits
from .layout import Layout, default_folder
from .options import ReportOptions
from .results import Records, Result, fill
from .runs import Table, by_name, check_choice
from .tables import mini_tables, paper_tables

Filled = List[Tuple[Table, List[Result]]]
_CSV = ('table', 'group', 'row', 'column', 'ours', 'std', 'runs',
        'runs_wanted', 'paper', 'paper_std', 'difference', 'lists')
_PER_ROW = 3


def report(options: ReportOptions) -> None:
    """Print the tables, and save them as Markdown, CSV and a picture."""
    mini, keys = options.mini, options.table
    tables = mini_tables() if mini else paper_tables()
    runs = by_name(tables.values())
    folder = options.work_dir or default_folder(mini, runs.values())
    if not osp.isdir(folder):
        raise FileNotFoundError(f'{folder} does not exist; make it with '
                                'vifi-clip matrix, or name another with '
                                '--work-dir')
    check_choice('--table', keys, tables)
    records = Records(Layout(folder), runs)
    filled = [(tables[key], fill(tables[key], records))
              for key in dict.fromkeys(keys or tables)]
    text = f'Runs of {folder}.\n\n' + markdown(filled, records)
    if mini:
        text += '\n' + claims_text(filled, records)
        text += gains_text([table for table, _ in filled],
                           lambda cell: read_hits(cell, records))
    print(text)
    start, picture = osp.join(options.out or folder, 'report'), draw(filled)
    write_text(f'{start}.md', text)
    write_text(f'{start}.csv', csv_text(filled))
    if picture is not None:
        write_bytes(f'{start}.png', picture)
    print(f'Saved as {start}.*')


def markdown(filled: Filled, records: Records) -> str:
    """Write all tables in Markdown, with what the figures rest on."""
    parts = []
    for table, results in filled:
        parts.append(f'## Table {table.key}. {table.title}\n')
        for group in dict.fromkeys(r.cell.group for r in results):
            text = {(r.cell.row, r.cell.column): r.text() for r in results
                    if r.cell.group == group}
            rows, columns = map(dict.fromkeys, zip(*text))
            parts.append(markdown_table([group, *columns], (
                [row, *(text.get((row, column), '') for column in columns)]
                for row in rows)) + '\n')
        parts.append(_footnote(table, records) + '\n')
    return '\n'.join(parts)


def claims_text(filled: Filled, records: Records) -> str:
    """Write the paper's claims with a verdict each, in Markdown."""
    judged = judge(mini_claims(), [table for table, _ in filled],
                   lambda cell: read_hits(cell, records))
    if not judged:  # nothing is claimed of these tables
        return ''
    table = markdown_table(
        ['table', 'claim', 'in miniature: gain (95% interval)'],
        ([claim.better[0], claim.text, verdict] for claim, verdict in judged))
    return (f'## The paper\'s claims\n\n{table}\n\n'
            'Percentage points. A claim holds where the interval lies above '
            '0, is reversed where it\nlies below, and inconclusive where 0 '
            'lies inside. The interval is for other seeds and\nother test '
            'videos (projects/vifi_clip_tools/paper/claims.py).\n')


def _footnote(table: Table, records: Records) -> str:
    """Say how many runs there are, and how they were prompted."""
    names = list(dict.fromkeys(n for cell in table.cells for n in cell.runs))
    finished = records.of(names)
    said = [f'{table.unit}.'] if table.unit else []
    if names:
        said.append(f'{len(finished)} of {len(names)} runs finished.')
    said += [table.note] if table.note else []
    others = [name for name in names if name not in finished and osp.isfile(
        records.layout.path(name, 'metrics.json'))]
    if others:
        said.append('Left out because of other settings: '
                    f'{", ".join(others)}.')
    if finished:
        # What stood around a class name; captions have neither.
        prompts = sorted({
            repr(record['templates']) if record.get('templates') else
            'learnt prompts' if record['knobs'].get('TUNE') == 'prompts' else
            'captions as they are' for record in finished.values()})
        said.append('± is the sample standard deviation (seeds, or official '
                    f'splits). Prompts: {"; ".join(prompts)}.')
    means = sorted({str(record['mean']) for record in finished.values()
                    if record.get('mean')})
    if means:
        said.append(f'Pixel means: {"; ".join(means)}.')
    if any(cell.metric.startswith('HM/') for cell in table.cells):
        said.append('HM is the harmonic mean of the mean base and the mean '
                    'novel accuracy, as the paper\'s figures are.')
    return ' '.join(said)


def csv_text(filled: Filled) -> str:
    """Write one line for each cell."""
    rows: List[Sequence[Any]] = [_CSV]
    for table, results in filled:
        for result in results:
            cell = result.cell
            ours, std, paper, difference = (
                '' if value is None else f'{value:.4g}' for value in (
                    result.mean, result.std, cell.paper, result.difference))
            rows.append([
                table.key, cell.group, cell.row, cell.column, ours, std,
                len(result.values), len(cell.runs), paper, cell.paper_std,
                difference, '; '.join(result.lists)])
    return csv_lines(rows)


def draw(filled: Filled) -> Optional[bytes]:
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
