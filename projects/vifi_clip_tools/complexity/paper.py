"""Tables 6 and 9 of the paper beside what is counted."""
from dataclasses import dataclass
from typing import List, Optional

from .count import Complexity

TOLERANCE = 0.001  # relative; the paper gives three or four digits
_PARAMETERS = dict(parameters='all', own_parameters='without the token '
                   'embeddings', trained='those that train')


@dataclass(frozen=True)
class Row:
    """A method's figures in the paper, and which of ours they are: its rows
    do not count the same."""
    method: str
    gflops: float  # multiply-adds counted once
    views_per_second: float  # on an A100
    parameters: Optional[float] = None  # in M
    counted: str = 'parameters'  # the field of Complexity that these are
    sentences: int = 0  # of the text side, that the GFLOPs hold
    why: str = ''  # where a figure is another than ours

    def count_gflops(self, figures: Complexity) -> float:
        """Count as the paper did: the image side as asked for, and
        ``sentences``."""
        asked = figures.asked
        text = self.sentences * asked['text'] / max(figures.sentences, 1)
        return (asked['image'] + text) / 1e9

    def count_parameters(self, figures: Complexity) -> Optional[float]:
        """Return ours in M, None where the paper has none."""
        return self.parameters and getattr(figures, self.counted) / 1e6

    def note(self, figures: Complexity) -> str:
        """Say what is reproduced within ``TOLERANCE``."""
        parts = [_compare(
            self.count_gflops(figures), self.gflops, 'GFLOPs', 'the image '
            'side as asked for' + (f' and {self.sentences} sentence of '
                                   f'{figures.context} tokens'
                                   if self.sentences else ''))]
        ours = self.count_parameters(figures)
        if ours is not None:
            parts.append(_compare(ours, self.parameters, 'M parameters',
                                  _PARAMETERS[self.counted]))
        why = f' {self.why}.' if self.why else ''
        return f'{self.method} of the paper: {"; ".join(parts)}.{why}'


def _compare(ours: float, paper: float, unit: str, what: str) -> str:
    apart = ours / paper - 1
    said = ('reproduced' if abs(apart) <= TOLERANCE else
            f'not reproduced ({apart:+.1%})')
    return f'{ours:.1f} of {paper:g} {unit}, {what}, {said}'


# By the config's name and its changes.
_ROWS = {
    ('vifi_k400', ): Row(
        'ViFi-CLIP', 281, 71.1, 124.7, 'own_parameters',
        why='What the other 0.4 M are is not known'),
    ('vifi_k400', 'METHOD=actionclip'): Row('ActionCLIP', 563, 67.7, 168.5),
    ('vifi_k400', 'METHOD=xclip'): Row('X-CLIP', 287, 58.5, 131.5, 'trained'),
    ('vifi_k400', 'METHOD=a5'): Row('A5', 284, 62.5, sentences=1),
    ('vifi_k400', 'TUNE=prompts'): Row(
        'VL prompting', 287, 71.6, why='4 prompts make 286.9, and none with '
        'two sentences 287.0'),
}


def row_of(figures: Complexity) -> Optional[Row]:
    """Find the row of the paper that a config stands for."""
    return _ROWS.get(tuple(figures.title))


def paper_record(figures: Complexity) -> Optional[dict]:
    """Return the paper's figures and ours that count the same, for a file;
    None for a config that the paper does not have."""
    row = row_of(figures)
    return row and dict(
        method=row.method, gflops=row.gflops, parameters_m=row.parameters,
        views_per_second_a100=row.views_per_second,
        ours=dict(gflops=row.count_gflops(figures),
                  parameters_m=row.count_parameters(figures)))


def paper_notes(figures: List[Complexity]) -> List[str]:
    """Say for each config with a row what is reproduced."""
    notes = [row.note(c) for c in figures if (row := row_of(c))]
    return notes and [
        "The paper's figures are of its Tables 6 and 9, multiply-adds counted "
        f'once; reproduced means within {TOLERANCE:.1%}.', *notes]
