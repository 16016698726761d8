"""Figures of several configs side by side, as in Tables 6 and 9.

Up to three configs are columns; more are rows. Everything fits in 80 columns.
"""
import json
import logging
import textwrap
import warnings
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import List, Optional, Sequence, Tuple

from projects.vifi_clip.apis.loading import find_device
from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.files import write_text
from ..cli.outputs import check_target
from ..cli.tables import markdown_table
from .count import Complexity, complexity
from .measure import Conditions, machine, measure
from .specs import Spec, load_spec

WIDTH = 80
_LABEL = 26
# By convention: factor on MACs, and its words.
CONVENTIONS = dict(
    macs=(1, '1 per multiply-add (MACs, as the paper and fvcore count)'),
    flops=(2, '2 per multiply-add (twice what the paper and fvcore count)'))
PAPER = dict(gflops=281, gflops_prompts=287, parameters_m=124.7,
             views_per_second_a100=71.1)
_NOTES = (
    'asked for: what the mathematics says; whole towers, every sentence at '
    'the full context. run here: the last layer for the one token that is '
    'read, sentences cut behind their end; the text side once per label set. '
    'Counted: linear layers, convolutions, attention; not norms, softmax and '
    'activations.',
    'The paper, Table 6 (ViT-B/16, 16 frames): 281 GFLOPs in MACs, which is '
    'the image side as asked for; 124.7 M parameters; 71.1 views/s on an '
    'A100. CLIP has 149.6 M, of which 25.3 M are token embeddings, which '
    'never train and which released checkpoints leave out: 124.3 M. The '
    'other 0.4 M are unexplained.')
_PROMPTS = (
    'The paper has 287 with prompts on both sides. The image side of ViT-B/16 '
    'with 16 frames asks for 286.9 with 4 prompts, and for 295.8 and 304.7 '
    'with the 10 and 16 of the released settings.')
Row = Tuple[str, List[str]]
Measured = Sequence[dict]


def compare(specs: Sequence[Spec], conditions: Optional[Conditions],
            convention: str, json_file: Optional[str],
            markdown_file: Optional[str], overwrite: bool) -> int:
    """Count, measure under ``conditions`` if there are any, and print and
    write the table.

    Returns:
        int: 1 if a config could not be measured (the notes say why), else 0.

    Raises:
        FileNotFoundError: A config is absent.
        ValueError: A bad knob, setting, model, device or output.
    """
    for option, path, suffix in (('--json', json_file, '.json'),
                                 ('--markdown', markdown_file, '.md')):
        if path:
            check_target(option, path, (suffix, ), overwrite)
    if conditions:
        on_gpu = find_device(conditions.device).startswith('cuda')
        conditions = replace(conditions, device='cuda' if on_gpu else 'cpu',
                             threads=conditions.threads or usable_cores())
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the chatter of building models
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            figures = [complexity(load_spec(spec), spec.title)
                       for spec in specs]
    finally:
        logging.disable(before)
    measured, about = [], ''
    if conditions:  # one after another, so that none disturbs the next
        measured = [measure(spec, conditions) for spec in specs]
        about = machine(conditions)  # with the load that there was
    print(terminal(figures, measured, convention, about))
    if markdown_file:
        write_text(markdown_file,
                   markdown(figures, measured, convention, about))
        print(f'Written: {markdown_file}')
    if json_file:
        factor, _ = CONVENTIONS[convention]
        configs = [asdict(figure) for figure in figures]
        for i, config in enumerate(configs):
            for part in config['asked'], config['run']:
                part.update({side: factor * n for side, n in part.items()})
            if measured:
                config['measured'] = measured[i]
        write_text(json_file, json.dumps(dict(
            convention=convention, operations=_header(convention),
            machine=about or None, configs=configs, paper=PAPER), indent=1))
        print(f'Written: {json_file}')
    return int(any('error' in one for one in measured))


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
        ('classes', [str(c.classes) for c in figures])
    ]
    for title, part in ('asked for', 'asked'), ('run here', 'run'):
        rows.append((f'GFLOPs {title}', []))
        for label, sides in (('image side, a view', ['image']),
                             ('text side, once', ['text']),
                             ('total', ['image', 'text'])):
            sums = [sum(getattr(c, part)[side] for side in sides)
                    for c in figures]
            rows.append((f'  {label}', [number(factor * n / 1e9) if n else '-'
                                        for n in sums]))
    for label, counts in (
            ('parameters, M', [c.parameters for c in figures]),
            ('  less token embeddings',
             [c.parameters - c.token_parameters for c in figures]),
            ('  trained', [c.trained for c in figures])):
        rows.append((label, [number(count / 1e6) for count in counts]))
    if measured:
        rates = [one.get('views_per_second') for one in measured]
        rows += [
            ('measured', []),
            ('  views/s, median',
             [number(r['median']) if r else 'failed' for r in rates]),
            ('    slowest to fastest',
             [f'{number(r["min"])} to {number(r["max"])}' if r else '-'
              for r in rates]),
            ('  peak memory, GiB',
             [number(one['peak_bytes'] / 2**30) if 'peak_bytes' in one
              else '-' for one in measured])
        ]
    return rows


def _header(convention: str) -> str:
    return f'GFLOPs: {CONVENTIONS[convention][1]}'


def _notes(figures: Sequence[Complexity], measured: Measured) -> List[str]:
    """Say what a reader must know, the paper's figures, and what failed."""
    prompts = any('TUNE=prompt' in part for c in figures for part in c.title)
    return [*_NOTES, *([_PROMPTS] if prompts else []),
            *(f'{" ".join(c.title)} was not measured: {one["error"]}'
              for c, one in zip(figures, measured) if 'error' in one)]


def terminal(figures: Sequence[Complexity], measured: Measured = (),
             convention: str = 'macs', about: str = '') -> str:
    """Write the table and its notes as plain text.

    Args:
        figures (Sequence[Complexity]): One for each config.
        measured (Sequence[dict]): As :func:`measure` returns, in the same
            order; empty if nothing was measured.
        convention (str): Key of :data:`CONVENTIONS`. Defaults to 'macs'.
        about (str): The machine that measured.
    """
    rows, notes = _rows(figures, measured, convention), []
    if about:
        notes = [f'Measured on {about}. Peak memory is the process\'s (of a '
                 'GPU: its tensors\'), weights included.']
    text = (_columns if len(figures) <= 3 else _lines)(figures, rows)
    notes += _notes(figures, measured)
    return '\n'.join([_header(convention), '', *text, '',
                      *(textwrap.fill(note, WIDTH) for note in notes)])


def _wrap(title: Sequence[str], width: int) -> List[str]:
    return [line for part in title for line in textwrap.wrap(part, width)]


def _columns(figures: Sequence[Complexity], rows: List[Row]) -> List[str]:
    """Draw a column for each config."""
    width = (WIDTH - _LABEL) // len(figures) if len(figures) > 1 else 27
    heads = zip_longest(*(_wrap(c.title, width - 2) for c in figures),
                        fillvalue='')
    lines = [''.join([label.ljust(_LABEL), *(c.rjust(width) for c in cells)]
                     ).rstrip()
             for label, cells in [*(('', head) for head in heads), *rows]]
    lines.insert(-len(rows), '-' * (_LABEL + width * len(figures)))
    return lines


def _lines(figures: Sequence[Complexity], rows: List[Row]) -> List[str]:
    """Draw a row for each config, with the figures that compare them."""
    asked = dict(reversed(rows))  # of equal labels the first
    run = dict(rows)  # the last
    columns = [
        (width, title, source[label]) for width, title, source, label in (
            (7, 'image', asked, '  image side, a view'),
            (8, 'run here', run, '  image side, a view'),
            (7, 'text', asked, '  text side, once'),
            (8, 'param. M', asked, 'parameters, M'),
            (8, 'train. M', asked, '  trained'),
            (7, 'views/s', asked, '  views/s, median'),
            (5, 'GiB', asked, '  peak memory, GiB')) if label in source]
    left = WIDTH - sum(width + 1 for width, _, _ in columns)
    lines = [' ' * left + ''.join(title.rjust(width + 1)
                                  for width, title, _ in columns),
             '-' * WIDTH]
    for i, figure in enumerate(figures):
        first, *more = _wrap(figure.title[:1], left - 1)
        lines.append(first.ljust(left) + ''.join(
            cells[i].rjust(width + 1) for width, _, cells in columns))
        more += _wrap(figure.title[1:], left - 3)
        lines += [f'  {name}' for name in more]
    return lines


def markdown(figures: Sequence[Complexity], measured: Measured = (),
             convention: str = 'macs', about: str = '') -> str:
    """Write the same as Markdown, a column for each config."""
    empty = [''] * len(figures)
    table = markdown_table(
        ['', *(' '.join(c.title) for c in figures)],
        [[label.strip(), *(cells or empty)]
         for label, cells in _rows(figures, measured, convention)],
        'l' + 'r' * len(figures))
    parts = [f'{_header(convention)}.', table,
             *([f'Measured on {about}.'] if about else []),
             *_notes(figures, measured)]
    return '\n\n'.join(parts) + '\n'
