"""Figures of several configs side by side, as in Tables 6 and 9.

A config is a column. Everything fits in 80 characters: below three configs
the next three follow.
"""
import textwrap
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import List, Optional, Sequence, Tuple

from projects.vifi_clip.apis.loading import find_device
from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.files import write_text
from ..cli.options import quiet
from ..cli.outputs import check_json, check_target, for_people, put_json
from ..cli.tables import markdown_table
from .count import Complexity, complexity
from .measure import Conditions, machine, measure
from .paper import paper_notes, paper_record, row_of
from .specs import Spec, load_spec, title_of

WIDTH = 80
_LABEL = 26
_ABREAST = 3
# By convention: factor on MACs, and its words.
CONVENTIONS = dict(
    macs=(1, '1 per multiply-add (MACs, as the paper and fvcore count)'),
    flops=(2, '2 per multiply-add (twice what the paper and fvcore count)'))
_NOTE = (
    'asked for: whole towers, every sentence at the full context. run here: '
    'the last layer for the one token that is read, sentences cut after their '
    'end; the text side once per label set. Counted: linear layers, '
    'convolutions, attention; not norms, softmax and activations.')
Row = Tuple[str, List[str]]
Measured = Sequence[dict]


def compare(specs: Sequence[Spec], conditions: Optional[Conditions],
            convention: str, json_file: Optional[str],
            markdown_file: Optional[str], overwrite: bool) -> int:
    """Count, measure under ``conditions`` if there are any, and print and
    write the table; return 1 if a config could not be measured (the notes say
    why), else 0. ValueError for a bad setting, model, device or output."""
    check_json(json_file, overwrite)
    if markdown_file:
        check_target('--markdown', markdown_file, ('.md', ), overwrite)
    if conditions:
        on_gpu = find_device(conditions.device).startswith('cuda')
        conditions = replace(conditions, device='cuda' if on_gpu else 'cpu',
                             threads=conditions.threads or usable_cores())
    with quiet():  # building models is noted at length
        configs = [load_spec(spec) for spec in specs]
        figures = [complexity(cfg, title_of(spec, cfg))
                   for spec, cfg in zip(specs, configs)]
    measured, about = [], ''
    if conditions:  # one after another, so that none disturbs the next
        measured = [measure(spec, conditions) for spec in specs]
        about = machine(conditions)  # with the load that there was
    table = for_people(json_file)
    print(terminal(figures, measured, convention, about), file=table)
    if markdown_file:
        write_text(markdown_file,
                   markdown(figures, measured, convention, about))
        print(f'Written: {markdown_file}', file=table)
    if json_file:
        factor, _ = CONVENTIONS[convention]
        records = [asdict(figure) for figure in figures]
        for i, config in enumerate(records):
            config['paper'] = paper_record(figures[i])
            for part in config['asked'], config['run']:
                part.update({side: factor * n for side, n in part.items()})
            if measured:
                config['measured'] = measured[i]
        put_json(json_file, dict(
            convention=convention, operations=_header(convention),
            machine=about or None, configs=records))
        print(f'Written: {json_file}', file=table)
    return int(any('error' in record for record in measured))


def number(value: float) -> str:
    """Write four digits or so: 1191.9, 281.0, 32.71, 0.1536."""
    for limit, digits in ((100, 1), (1, 2), (0.1, 3)):
        if abs(value) >= limit:
            return f'{value:.{digits}f}'
    return f'{value:.3g}'


def _rows(figures: Sequence[Complexity], measured: Measured,
          convention: str) -> List[Row]:
    """Make a label and a cell for each config; a heading has no cells."""
    factor, _ = CONVENTIONS[convention]
    rows: List[Row] = [
        ('frames x pixels', ['{} x {} x {}'.format(c.frames, *c.size)
                             for c in figures]),
        ('classes', [str(c.classes) for c in figures])]
    for title, part in ('asked for', 'asked'), ('run here', 'run'):
        sides = [getattr(c, part) for c in figures]
        rows.append((f'GFLOPs {title}', []))
        for label, sums in (
                ('image side, a view', [side['image'] for side in sides]),
                ('text side, once', [side['text'] for side in sides]),
                ('total', [sum(side.values()) for side in sides])):
            rows.append((f'  {label}', [number(factor * n / 1e9) if n else '-'
                                        for n in sums]))
    for label, counts in (
            ('parameters, M', [c.parameters for c in figures]),
            ('  less token embeddings',
             [c.own_parameters for c in figures]),
            ('  trained', [c.trained for c in figures])):
        rows.append((label, [number(count / 1e6) for count in counts]))
    if any(paper := [row_of(c) for c in figures]):
        rows.append(('the paper', []))
        for label, name in (('GFLOPs', 'gflops'),
                            ('parameters, M', 'parameters'),
                            ('views/s, A100', 'views_per_second')):
            rows.append((f'  {label}', [
                f'{getattr(row, name, None) or "-"}' for row in paper]))
    if measured:
        cells = map(_measured_cells, measured)
        rows.append(('measured', []))
        rows += zip(('  views/s, median', '    slowest to fastest',
                     '  peak memory, GiB'), map(list, zip(*cells)))
    return rows


def _measured_cells(record: dict) -> Tuple[str, str, str]:
    if 'error' in record:
        return 'failed', '-', '-'
    rates = {name: number(rate)
             for name, rate in record['views_per_second'].items()}
    return (rates['median'], f'{rates["min"]} to {rates["max"]}',
            number(record['peak_bytes'] / 2**30))


def _header(convention: str) -> str:
    return f'GFLOPs: {CONVENTIONS[convention][1]}'


def _notes(figures: Sequence[Complexity], measured: Measured) -> List[str]:
    """Say what a reader must know, the paper's figures, and what failed."""
    return [_NOTE, *paper_notes(figures),
            *(f'{" ".join(c.title)} was not measured: {record["error"]}'
              for c, record in zip(figures, measured) if 'error' in record)]


def terminal(figures: Sequence[Complexity], measured: Measured = (),
             convention: str = 'macs', about: str = '') -> str:
    """Write a table of the figures of each config, and notes, as plain text;
    ``measured`` are what :func:`measure` returned for each, or empty, and
    ``about`` is the machine that measured."""
    notes = _notes(figures, measured)
    if about:
        notes.insert(0, f'Measured on {about}. Peak memory is the process\'s '
                     '(of a GPU: its tensors\'), weights included.')
    lines = [_header(convention), '']
    width = (WIDTH - _LABEL) // min(max(len(figures), 2), _ABREAST)
    for i in range(0, len(figures), _ABREAST):
        abreast = figures[i:i + _ABREAST]
        titles = ([line for part in c.title for line in
                   textwrap.wrap(part, width - 1)] for c in abreast)
        heads = [('', cells) for cells in zip_longest(*titles, fillvalue='')]
        rule = '-' * (_LABEL + width * len(abreast)), []
        for label, cells in [*heads, rule, *_rows(
                abreast, measured[i:i + _ABREAST], convention), ('', [])]:
            line = label.ljust(_LABEL) + ''.join(c.rjust(width) for c in cells)
            lines.append(line.rstrip())
    return '\n'.join([*lines, *(textwrap.fill(note, WIDTH)
                                for note in notes)])


def markdown(figures: Sequence[Complexity], measured: Measured = (),
             convention: str = 'macs', about: str = '') -> str:
    """Write the same as Markdown, a column for each config."""
    table = markdown_table(
        ['', *(' '.join(c.title) for c in figures)],
        [[label.strip(), *(cells or [''] * len(figures))]
         for label, cells in _rows(figures, measured, convention)],
        'l' + 'r' * len(figures))
    machine_line = [f'Measured on {about}.'] if about else []
    return '\n\n'.join([f'{_header(convention)}.', table, *machine_line,
                        *_notes(figures, measured)]) + '\n'
