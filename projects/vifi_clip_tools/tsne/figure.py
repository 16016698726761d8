"""Panels of embeddings in two dimensions, as in Figures 1 and 7."""
import io
from dataclasses import dataclass
from textwrap import fill
from typing import List, Optional, Sequence, Tuple

import numpy as np

from .cluster_scores import ClusterScores

FORMATS = ('.png', '.pdf', '.svg')
LEGEND_CLASSES = 20  # more colours than these cannot be told apart
_PER_ROW = 5  # as in Figure 1
_WIDTH, _WIDEST = 7., 3.  # inches: of a printed page, and of a panel
_LINE = 0.17  # inches of a line of 8 points
_LONGEST = 32  # characters of a class name in the legend
_MANY = 5000  # points that a vector format need not hold one by one


@dataclass
class Panel:
    """One model's videos.

    Args:
        title (str): Stands above.
        places (np.ndarray): [N, 2].
        labels (np.ndarray): Integers [N].
        scores (ClusterScores, optional): Stand below.
    """
    title: str
    places: np.ndarray
    labels: np.ndarray
    scores: Optional[ClusterScores] = None


def draw(panels: Sequence[Panel],
         class_names: Optional[List[str]] = None,
         suffix: str = '.png',
         dpi: int = 300) -> bytes:
    """Draw panels side by side, five a row.

    Args:
        panels (Sequence[Panel]): Of the same classes.
        class_names (list[str], optional): Of the legend, which is there for
            20 classes or fewer. Defaults to 'class 0', ...
        suffix (str): '.png', '.pdf' or '.svg'. Defaults to '.png'.
        dpi (int): Of pixels. Defaults to 300.

    Returns:
        bytes: The file; the same for the same input.
    """
    import matplotlib
    # No pyplot: nothing global, and no display is looked for.
    from matplotlib.figure import Figure
    classes = np.unique(np.concatenate([panel.labels for panel in panels]))
    styles = _styles(len(classes))
    names = ([_name(c, class_names) for c in classes]
             if len(classes) <= LEGEND_CLASSES else [])
    sizes = _Sizes([panel.title for panel in panels], names)
    settings = {'svg.hashsalt': 'vifi_clip', 'svg.fonttype': 'none',
                'pdf.fonttype': 42, 'font.size': 8}
    with matplotlib.rc_context(settings):
        figure = Figure((sizes.width, sizes.height), layout='constrained')
        axes = list(figure.subplots(sizes.rows, sizes.columns,
                                    squeeze=False).flat)
        for title, panel, place in zip(sizes.titles, panels, axes):
            _panel(place, panel, classes, styles, sizes.side)
            # A name may hold a $, which is no mathematics.
            place.set_title(title, fontsize=9, parse_math=False)
        for place in axes[len(panels):]:
            place.set_axis_off()
        if names:
            _legend(figure, names, styles, sizes.per_line, len(panels) == 1)
        out = io.BytesIO()
        dated = dict(pdf='CreationDate', svg='Date').get(suffix[1:])
        figure.savefig(out, format=suffix[1:], dpi=dpi, bbox_inches='tight',
                       metadata={dated: None} if dated else None)
    return out.getvalue()


class _Sizes:
    """Inches of a figure made at the size it is printed at, so that 8 points
    stay 8 points."""

    def __init__(self, titles: Sequence[str], names: Sequence[str]) -> None:
        self.columns = min(_PER_ROW, len(titles))
        self.rows = -(-len(titles) // self.columns)
        self.side = min(_WIDEST, _WIDTH / self.columns)
        self.titles = [fill(t, int(self.side / 0.085)) for t in titles]
        lines = 3.5 + max(t.count('\n') + 1 for t in self.titles)
        self.width = self.side * self.columns
        self.height = (self.side + lines * _LINE) * self.rows
        # 0.06 inches a letter, 0.35 for mark and gap
        entry = 0.35 + 0.06 * max(map(len, names), default=0)
        self.per_line = max(1, int(self.width / entry))
        if names and len(titles) == 1:  # the legend stands beside
            self.per_line, self.width = 1, self.width + entry
        elif names:
            self.height += _LINE * (1 + -(-len(names) // self.per_line))


def _styles(classes: int) -> List[Tuple[tuple, str]]:
    """A colour and a mark for each class."""
    from matplotlib import colormaps
    from matplotlib.colors import hsv_to_rgb
    if classes <= LEGEND_CLASSES:
        # tab20 has ten dark colours, each followed by its light one, which
        # gets another mark for those who see the two alike.
        pairs = colormaps['tab20'].colors
        return [(pairs[2 * (i % 10) + i // 10], 'o^'[i // 10])
                for i in range(classes)]
    # Neighbours in the list lie far from each other on the wheel.
    hues = np.arange(classes) * 0.61803 % 1
    return [(tuple(hsv_to_rgb((hue, (0.95, 0.6)[i % 2],
                               (0.95, 0.7)[i // 2 % 2]))), 'o')
            for i, hue in enumerate(hues)]


def _panel(axes, panel: Panel, classes: np.ndarray, styles,
           side: float) -> None:
    number = len(panel.labels)
    size = float(np.clip(3000 / number, 3, 30)) * (side / _WIDEST)
    kinds = np.searchsorted(classes, panel.labels)
    colours = np.array([colour for colour, _ in styles])
    marks = np.array([mark for _, mark in styles])
    # Class after class, the last would hide the others.
    mixed = np.random.default_rng(0).permutation(number)
    for mark in dict.fromkeys(marks.tolist()):
        own = mixed[marks[kinds[mixed]] == mark]
        axes.scatter(panel.places[own, 0], panel.places[own, 1], size,
                     c=colours[kinds[own]], marker=mark, edgecolors='white',
                     linewidths=0.15, rasterized=number > _MANY)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.04)
    axes.set_box_aspect(1)
    for line in axes.spines.values():
        line.set(color='0.6', linewidth=0.6)
    if panel.scores:
        gap = '   ' if side > 2.3 else '\n'
        axes.set_xlabel(
            f'homogeneity {panel.scores.homogeneity:.2f}{gap}'
            f'completeness {panel.scores.completeness:.2f}\n'
            f'V-measure {panel.scores.v_measure:.2f}', fontsize=8)


def _name(label: int, class_names: Optional[List[str]]) -> str:
    name = class_names[label] if class_names else f'class {label}'
    return name if len(name) <= _LONGEST else f'{name[:_LONGEST - 1]}…'


def _legend(figure, names: List[str], styles, columns: int,
            beside: bool) -> None:
    from matplotlib.lines import Line2D
    marks = [Line2D([], [], color=colour, marker=mark, lw=0, ms=5)
             for colour, mark in styles]
    legend = figure.legend(
        marks, names, ncols=columns, fontsize=8, frameon=False,
        loc='outside right center' if beside else 'outside lower center',
        handletextpad=0.1, columnspacing=1.)
    for text in legend.get_texts():
        text.set_parse_math(False)
