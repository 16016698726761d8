"""What the paper calls its methods, and the figures that it prints."""
import re
from pathlib import Path
from typing import Dict, Optional, Tuple

# Mean and, if given, spread, by (row, column).
Figures = Dict[Tuple[str, str], Tuple[float, Optional[float]]]

FROZEN, IMAGE, TEXT = 'vanilla CLIP', 'CLIP image-FT', 'CLIP text-FT'
BOTH, PROMPTS = 'ViFi-CLIP', 'VL prompting'
TUNED = (IMAGE, TEXT, BOTH)
# The knob TUNE of each row.
TUNE = {FROZEN: 'none', IMAGE: 'image', TEXT: 'text', BOTH: 'both',
        PROMPTS: 'prompts'}
SEEDS = (1, 2, 3)
SHOTS = (2, 4, 8, 16)
HALVES = ('base', 'novel', 'HM')
DATASETS = ('hmdb51', 'ucf101', 'ssv2')
TOP1 = 'acc/top1'


def read_figures() -> Dict[str, Figures]:
    """Read figures.txt: the figures by number of their table."""
    text = Path(__file__).with_name('figures.txt').read_text('utf-8')
    tables: Dict[str, Figures] = {}
    for block in text.split('\nTable ')[1:]:
        key, *lines = block.strip().splitlines()
        (_, *columns), *rows = (re.split(' {2,}', line) for line in lines)
        figures = tables[key] = {}
        for row, *cells in rows:
            for column, cell in zip(columns, cells, strict=True):
                if cell != '-':
                    mean, _, std = cell.partition('±')
                    figures[row, column] = (float(mean),
                                            float(std) if std else None)
    return tables
