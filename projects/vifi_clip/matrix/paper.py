"""The figures of the paper (arXiv 2212.03640), in percent.

Top-1 accuracy unless the column says otherwise; ``(mean, std)`` where the
paper gives a spread.
"""
from typing import Dict, Tuple, Union

Figure = Union[float, Tuple[float, float]]
Figures = Dict[Tuple[str, str], Figure]  # by (row, column)

FROZEN, IMAGE, TEXT = 'vanilla CLIP', 'CLIP image-FT', 'CLIP text-FT'
BOTH, PROMPTS = 'ViFi-CLIP', 'bridge and prompt'


def _rows(columns: tuple, **rows) -> Figures:
    """Rows of figures by the name of the constant that names the row."""
    names = dict(FROZEN=FROZEN, IMAGE=IMAGE, TEXT=TEXT, BOTH=BOTH,
                 PROMPTS=PROMPTS)
    return {(names.get(row, row), column): figure
            for row, figures in rows.items()
            for column, figure in zip(columns, figures)}


ZERO_SHOT = _rows(
    ('HMDB-51', 'UCF-101', 'K600 top-1', 'K600 top-5'),
    FROZEN=((40.8, 0.3), (63.2, 0.2), (59.8, 0.3), (83.5, 0.2)),
    IMAGE=((49.0, 0.3), (72.9, 0.8), (62.4, 1.0), (85.8, 0.5)),
    TEXT=((48.5, 0.1), (69.8, 1.1), (68.5, 1.2), (89.6, 0.3)),
    BOTH=((51.3, 0.6), (76.8, 0.7), (71.2, 1.0), (92.2, 0.3)))


def _by_dataset(columns: tuple, **datasets) -> Figures:
    """Rows of each data set, whose name goes before the columns'."""
    found: Figures = {}
    for dataset, rows in datasets.items():
        found.update(
            _rows(tuple(f'{dataset} {column}' for column in columns), **rows))
    return found


BASE_TO_NOVEL = _by_dataset(
    ('base', 'novel', 'HM'),
    k400=dict(
        FROZEN=(62.3, 53.4, 57.5),
        IMAGE=(72.9, 58.0, 64.6),
        TEXT=(73.4, 59.7, 65.8),
        BOTH=(76.4, 61.1, 67.9)),
    hmdb51=dict(
        FROZEN=(53.3, 46.8, 49.8),
        IMAGE=(62.6, 47.5, 54.0),
        TEXT=(70.0, 51.2, 59.1),
        BOTH=(73.8, 53.3, 61.9),
        PROMPTS=(77.1, 54.9, 64.1)),
    ucf101=dict(
        FROZEN=(78.5, 63.6, 70.3),
        IMAGE=(86.4, 65.3, 74.4),
        TEXT=(90.9, 67.4, 77.4),
        BOTH=(92.9, 67.7, 78.3),
        PROMPTS=(95.9, 74.1, 83.6)),
    ssv2=dict(
        FROZEN=(4.9, 5.3, 5.1),
        IMAGE=(9.2, 8.5, 8.8),
        TEXT=(12.4, 9.5, 10.8),
        BOTH=(16.2, 12.1, 13.9),
        PROMPTS=(15.8, 11.5, 13.3)))

SHOTS = (2, 4, 8, 16)
FEW_SHOT = _by_dataset(  # vanilla CLIP sees no shots: one figure
    tuple(f'K={shots}' for shots in SHOTS),
    hmdb51=dict(
        FROZEN=(41.9, ) * 4,
        BOTH=(57.2, 62.7, 64.5, 66.8),
        PROMPTS=(63.0, 65.1, 69.6, 72.0)),
    ucf101=dict(
        FROZEN=(63.6, ) * 4,
        BOTH=(80.7, 85.1, 90.0, 92.7),
        PROMPTS=(91.0, 93.7, 95.0, 96.4)),
    ssv2=dict(
        FROZEN=(2.7, ) * 4,
        BOTH=(6.2, 7.4, 8.5, 12.4),
        PROMPTS=(6.7, 7.9, 10.2, 13.5)))

FUSION = _rows(
    ('k400 tiny', 'ssv2 K=16', 'hmdb51 K=16', 'ucf101 K=16'),
    decision=(74.6, 10.8, 62.2, 90.5),
    image=(74.0, 11.2, 64.4, 91.7),
    embedding=(76.9, 12.4, 66.8, 92.7))

SUPERVISED = _rows(
    ('top-1', 'top-5'),
    IMAGE=(82.8, 96.2),
    TEXT=(73.1, 91.2),
    BOTH=(83.9, 96.3))

RETRIEVAL = _rows(('R@1', 'R@5'), BOTH=(44.8, 72.4))
