"""Figures of several configs side by side, as in Tables 6 and 9.

Up to three configs are columns; more are rows. Everything fits in 80 columns.
"""
from __future__ import annotations

import textwrap
from typing import Dict, List, Optional, Sequence, Tuple

from .count import Complexity

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
Measured = Sequence[Optional[dict]]


def number(value: float) -> str:
    """Four digits or so: 1191.9, 281.0, 32.71, 0.1536."""
    for limit, digits in ((100, 1), (1, 2), (0.1, 3)):
        if abs(value) >= limit:
            return f'{value:.{digits}f}'
    return f'{value:.3g}'


def rows(figures: Sequence[Complexity], measured: Measured = (),
         convention: str = 'macs') -> List[Row]:
    """A label and a cell for each config; empty cells make a heading.

    Args:
        figures (Sequence[Complexity]): One for each config.
        measured (Sequence[dict], optional): As :func:`measure` returns, in
            the same order. Defaults to (): nothing was measured.
        convention (str): Key of :data:`CONVENTIONS`. Defaults to 'macs'.
    """
    factor, _ = CONVENTIONS[convention]
    found = [
        ('frames x pixels', ['{} x {} x {}'.format(c.frames, *c.size)
                             for c in figures]),
        ('classes', [str(c.classes) for c in figures])
    ]
    for title, part in ('asked for', 'asked'), ('run here', 'run'):
        found += _operations(title, [getattr(c, part) for c in figures],
                             factor)
    found += [
        ('parameters, M', [number(c.parameters / 1e6) for c in figures]),
        ('  less token embeddings',
         [number((c.parameters - c.token_parameters) / 1e6)
          for c in figures]),
        ('  trained', [number(c.trained / 1e6) for c in figures])
    ]
    return found + (_measured(measured) if measured else [])


def _operations(title: str, counts: List[Dict[str, int]],
                factor: int) -> List[Row]:
    def cells(values) -> List[str]:
        return [number(factor * value / 1e9) if value else '-'
                for value in values]

    return [
        (f'GFLOPs {title}', []),
        ('  image side, a view', cells(c['image'] for c in counts)),
        ('  text side, once', cells(c['text'] for c in counts)),
        ('  total', cells(sum(c.values()) for c in counts))
    ]


def _measured(measured: Measured) -> List[Row]:
    rates = [m.get('views_per_second') for m in measured]
    return [
        ('measured', []),
        ('  views/s, median', [number(r['median']) if r else 'failed'
                               for r in rates]),
        ('    slowest to fastest',
         [f'{number(r["min"])} to {number(r["max"])}' if r else '-'
          for r in rates]),
        ('  peak memory, GiB',
         [number(m['peak_bytes'] / 2**30) if 'peak_bytes' in m else '-'
          for m in measured])
    ]


def header(convention: str) -> str:
    """Names the convention; above every table."""
    return f'GFLOPs: {CONVENTIONS[convention][1]}'


def notes(figures: Sequence[Complexity]) -> List[str]:
    """What a reader must know, and the paper's figures."""
    prompts = any('TUNE=prompt' in part for c in figures for part in c.title)
    return [*_NOTES, *([_PROMPTS] if prompts else [])]


def terminal(figures: Sequence[Complexity], measured: Measured = (),
             convention: str = 'macs', machine: str = '') -> str:
    """The table and its notes as plain text."""
    draw = _columns if len(figures) <= 3 else _lines
    said = [*notes(figures), *_failures(figures, measured)]
    if machine:
        said.insert(0, f'Measured on {machine}. Peak memory is the '
                    'process\'s (of a GPU: its tensors\'), weights included.')
    text = draw(figures, rows(figures, measured, convention))
    return '\n'.join([header(convention), '', *text, '',
                      *(textwrap.fill(note, WIDTH) for note in said)])


def _failures(figures: Sequence[Complexity],
              measured: Measured) -> List[str]:
    return [f'{" ".join(c.title)} was not measured: {m["error"]}'
            for c, m in zip(figures, measured) if 'error' in m]


def _wrap(title: Sequence[str], width: int) -> List[str]:
    return [line for part in title for line in textwrap.wrap(part, width)]


def _columns(figures: Sequence[Complexity], found: List[Row]) -> List[str]:
    """A column for each config."""
    width = (WIDTH - _LABEL) // len(figures) if len(figures) > 1 else 27
    heads = [_wrap(c.title, width - 2) for c in figures]
    lines = []
    for i in range(max(map(len, heads))):
        cells = [head[i] if i < len(head) else '' for head in heads]
        lines.append(_line('', cells, width))
    lines.append('-' * (_LABEL + width * len(figures)))
    return lines + [_line(label, cells, width) for label, cells in found]


def _line(label: str, cells: Sequence[str], width: int) -> str:
    text = label.ljust(_LABEL) + ''.join(cell.rjust(width) for cell in cells)
    return text.rstrip()


def _lines(figures: Sequence[Complexity], found: List[Row]) -> List[str]:
    """A row for each config, with the figures that compare them."""
    wanted = [(7, 'image', '  image side, a view'),
              (7, 'text', '  text side, once'),
              (8, 'param. M', 'parameters, M'), (8, 'train. M', '  trained'),
              (7, 'views/s', '  views/s, median'),
              (5, 'GiB', '  peak memory, GiB')]
    # The first of a name: as asked for.
    cells = {label: values for label, values in reversed(found)}
    run = dict(found)['  image side, a view']
    chosen = [(width, head, cells[label]) for width, head, label in wanted
              if label in cells]
    chosen.insert(1, (8, 'run here', run))
    left = WIDTH - sum(width + 1 for width, _, _ in chosen)
    lines = [' ' * left + ''.join(head.rjust(width + 1)
                                  for width, head, _ in chosen)]
    lines.append('-' * WIDTH)
    for i, figure in enumerate(figures):
        first, *more = _wrap(figure.title[:1], left - 1)
        lines.append(first.ljust(left) + ''.join(
            values[i].rjust(width + 1) for width, _, values in chosen))
        more += _wrap(figure.title[1:], left - 3)
        lines += [f'  {name}' for name in more]
    return lines


def markdown(figures: Sequence[Complexity], measured: Measured = (),
             convention: str = 'macs', machine: str = '') -> str:
    """The table and its notes as Markdown, a column for each config."""
    titles = [' '.join(c.title) for c in figures]
    lines = [f'{header(convention)}.', '', '| | ' + ' | '.join(titles) + ' |',
             '| --- |' + ' ---: |' * len(figures)]
    for label, cells in rows(figures, measured, convention):
        cells = cells or [''] * len(figures)
        lines.append(f'| {label.strip()} | ' + ' | '.join(cells) + ' |')
    if machine:
        lines += ['', f'Measured on {machine}.']
    for note in [*notes(figures), *_failures(figures, measured)]:
        lines += ['', note]
    return '\n'.join(lines) + '\n'
