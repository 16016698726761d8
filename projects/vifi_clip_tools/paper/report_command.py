"""``tools/report.py``: from work directories to the paper's tables."""
import argparse
import csv
import io
import os.path as osp
from typing import Dict, List, Optional, Sequence, Tuple

from .claims import judge, mini_claims, read_hits
from .layout import Layout
from .mini_tables import mini_tables
from .paper_tables import paper_tables
from .results import Result, fill
from .runs import Run, Table, by_name
from ..cli.options import HelpFormatter
from .matrix_command import default_folder

Filled = List[Tuple[Table, List[Result]]]
_CSV = ('table', 'group', 'row', 'column', 'ours', 'std', 'runs',
        'runs_wanted', 'paper', 'paper_std', 'difference', 'lists')


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the report."""
    parser = argparse.ArgumentParser(
        description='Print the paper\'s tables as far as their runs are '
        'finished, and save them as report.md, report.csv and report.png.',
        epilog='examples:\n  vifi-clip report --mini\n'
        '  vifi-clip report --table 1 3 --out tables',
        formatter_class=HelpFormatter)
    parser.add_argument('--mini', action='store_true', help='the small world')
    parser.add_argument('--table', nargs='+', help='numbers of tables '
                        '(default: all)')
    parser.add_argument('--work-dir', help='folder of the runs (default: '
                        'work_dirs/matrix, work_dirs/matrix_mini)')
    parser.add_argument('--out', help='folder of the report (default: that '
                        'of the runs)')
    args = parser.parse_args(argv)
    return args


def main(argv: Optional[Sequence[str]] = None) -> Filled:
    """Print and save; returns the tables with their results.

    Raises:
        FileNotFoundError: There is no folder of runs.
        ValueError: No such table.
    """
    args = parse_args(argv)
    tables = mini_tables() if args.mini else paper_tables()
    folder = args.work_dir or default_folder(args.mini, tables)
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'{folder} does not exist; tools/run_matrix.py makes it, '
            'or name another with --work-dir')
    unknown = [key for key in args.table or () if key not in tables]
    if unknown:
        raise ValueError(f'--table {" ".join(unknown)}: choose from '
                         f'{", ".join(tables)}')
    runs, layout = by_name(tables.values()), Layout(folder)
    filled = [(tables[key], fill(tables[key], runs, layout))
              for key in dict.fromkeys(args.table or tables)]
    text = f'Runs of {folder}.\n\n' + markdown(filled, runs, layout)
    if args.mini:
        text += '\n' + claims_text(filled, runs, layout)
    print(text)
    _save(args.out or folder, text, filled)
    return filled


def _save(folder: str, text: str, filled: Filled) -> None:
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    from .picture import draw
    save, table = AtomicLocalBackend().put, csv_text(filled)
    picture = draw(filled)  # may fail: before anything is written over
    save(text.encode(), osp.join(folder, 'report.md'))
    save(table.encode(), osp.join(folder, 'report.csv'))
    if picture is not None:
        save(picture, osp.join(folder, 'report.png'))
    elif osp.isfile(osp.join(folder, 'report.png')):
        print(f'note: {osp.join(folder, "report.png")} is of an earlier '
              'report; there is nothing to draw in this one')
    files = 'md, csv' + (' and png' if picture is not None else '')
    print(f'Saved as {osp.join(folder, "report")}.* ({files})')


def markdown(filled: Filled, runs: Dict[str, Run], layout: Layout) -> str:
    """All tables in Markdown, with what the figures rest on."""
    parts = []
    for table, results in filled:
        parts.append(f'## Table {table.key}. {table.title}\n')
        for group in dict.fromkeys(r.cell.group for r in results):
            part = [r for r in results if r.cell.group == group]
            parts.append(_grid(part, group) + '\n')
        parts.append(_footnote(table, runs, layout) + '\n')
    return '\n'.join(parts)


def claims_text(filled: Filled, runs: Dict[str, Run], layout: Layout) -> str:
    """The paper's claims with a verdict each, in Markdown."""
    judged = judge(mini_claims(), [table for table, _ in filled],
                   lambda cell: read_hits(cell, runs, layout))
    if not judged:  # nothing is claimed of these tables
        return ''
    rows = [['table', 'claim', 'in miniature: gain (95% interval)']]
    rows += [[claim.table, claim.text,
              verdict if isinstance(verdict, str) else verdict.text()]
             for claim, verdict in judged]
    return ('## The paper\'s claims\n\n' + table_text(rows) + '\n\n'
            'Percentage points. A claim holds, or does not, where 0 is '
            'outside of the interval,\nwhich is for other seeds and other '
            'test videos (projects/vifi_clip/matrix/claims.py).\n')


def _grid(results: List[Result], corner: str) -> str:
    rows = list(dict.fromkeys(r.cell.row for r in results))
    columns = list(dict.fromkeys(r.cell.column for r in results))
    text = {(r.cell.row, r.cell.column): r.text() for r in results}
    lines = [[corner, *columns]]
    lines += [[row, *(text.get((row, c), '') for c in columns)]
              for row in rows]
    return table_text(lines)


def table_text(lines: List[List[str]]) -> str:
    """Lines of cells, the first its head, as a Markdown table."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    shown = ['| ' + ' | '.join(cell.ljust(width) for cell, width in
                               zip(line, widths)) + ' |' for line in lines]
    shown.insert(1, '|' + '|'.join('-' * (w + 2) for w in widths) + '|')
    return '\n'.join(shown)


def _footnote(table: Table, runs: Dict[str, Run], layout: Layout) -> str:
    """How many runs there are, and how they were prompted."""
    names = dict.fromkeys(n for cell in table.cells for n in cell.runs)
    records = {name: layout.record(runs[name]) for name in names}
    found = [record for record in records.values() if record]
    said = [f'{table.unit}.'] if table.unit else []
    if names:
        said.append(f'{len(found)} of {len(records)} runs finished.')
    said += [table.note] if table.note else []
    others = [name for name, record in records.items() if not record
              and osp.isfile(layout.metrics_file(runs[name]))]
    if others:
        said.append('Left out, since their knobs differ from the table\'s and '
                    f'the environment\'s: {", ".join(others)}.')
    if found:
        prompts = sorted({_prompt(record) for record in found})
        said.append('± is the sample standard deviation (seeds, or official '
                    f'splits). Prompts: {"; ".join(prompts)}.')
    means = sorted({str(record['mean']) for record in found
                    if record.get('mean')})
    if means:
        said.append(f'Pixel means: {"; ".join(means)}.')
    if any(cell.metric.startswith('HM/') for cell in table.cells):
        said.append('HM is the harmonic mean of the mean base and the mean '
                    'novel accuracy, as the paper\'s figures are.')
    return ' '.join(said)


def _prompt(record: dict) -> str:
    """What stood around a class name; captions have neither."""
    learnt = record['knobs'].get('TUNE') in ('prompts', 'prompt')
    templates = record.get('templates')
    if templates:
        return repr(templates)
    return 'learnt prompts' if learnt else 'captions as they are'


def csv_text(filled: Filled) -> str:
    """One line for each cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(_CSV)
    for table, results in filled:
        for result in results:
            cell = result.cell
            paper_std = cell.paper[1] if isinstance(cell.paper, tuple) else ''
            writer.writerow([
                table.key, cell.group, cell.row, cell.column,
                _number(result.mean), _number(result.std),
                len(result.values), len(cell.runs), _number(result.paper),
                paper_std, _number(result.difference),
                '; '.join(result.lists)
            ])
    return out.getvalue()


def _number(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.4g}'
