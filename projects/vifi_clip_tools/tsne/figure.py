"""Panels of embeddings in two dimensions, as in Figures 1 and 7, and how well
their clusters agree with the classes, as in Table 11."""
import io
from dataclasses import dataclass
from textwrap import fill
from typing import List, Optional, Sequence, Tuple

import numpy as np

from projects.vifi_clip.errors import need

NUM_INITS = 10  # of k-means
_MARKS = 'o^sX'  # each in ten colours
LEGEND_CLASSES = 10 * len(_MARKS)  # more cannot be told apart
_PER_ROW = 5  # as in Figure 1
_WIDTH, _WIDEST = 7., 3.  # inches: of a printed page, and of a panel
_LINE = 0.17  # inches of a line of 8 points
_LONGEST = 32  # characters of a class name in the legend


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of K clusters with K classes, each from 0 to 1."""
    homogeneity: float  # 1: each cluster holds one class only
    completeness: float  # 1: each class lies in one cluster only
    v_measure: float  # their harmonic mean
    num_videos: int
    num_classes: int  # K, of the classes that occur


@dataclass
class Panel:
    """One model's videos."""
    title: str
    places: np.ndarray  # [N, 2]
    labels: np.ndarray  # integers [N]
    scores: Optional[ClusterScores] = None


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings [N, D] scaled to length 1, in float64; ValueError if
    one is all zeros."""
    vectors = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f'embedding {int(np.argmin(lengths))} is all zeros '
                         'and has no direction; embed the videos again')
    return vectors / lengths


def cluster_scores(embeddings: np.ndarray, labels: np.ndarray,
                   seed: int = 0) -> ClusterScores:
    """Compare k-means clusters of embeddings [N, D] with labels [N].

    The paper gives homogeneity, completeness and V-measure and not the
    clustering behind them. Here it is k-means (k-means++, the best of
    ``NUM_INITS``) with as many clusters as classes, of embeddings of unit
    length, where squared distances are 2 - 2 cosine.
    """
    classes = len(np.unique(labels))
    means = need('sklearn.cluster', 'figures').KMeans(
        classes, n_init=NUM_INITS, random_state=seed)
    with one_thread():
        clusters = means.fit_predict(unit_length(embeddings))
    scores = need('sklearn.metrics', 'figures'
                  ).homogeneity_completeness_v_measure(labels, clusters)
    return ClusterScores(*map(float, scores), len(labels), classes)


def one_thread():
    """Give scikit-learn's sums one order, in a ``with`` block.

    Its parallel loops add up in the order in which threads finish; the last
    bits differ from run to run, and t-SNE makes another picture of them.
    """
    return need('threadpoolctl', 'figures').threadpool_limits(1)


def layout(embeddings: np.ndarray, source: str, method: str = 'tsne',
           seed: int = 0, neighbours: Optional[float] = None
           ) -> Tuple[np.ndarray, float]:
    """Place embeddings [N, D] on a plane, neighbours by cosine beside each
    other: places [N, 2], the same for the same input and seed, and the
    ``neighbours`` that were used.

    These are t-SNE's perplexity, by default 30, or a third of the videos if
    those are fewer; or UMAP's number of neighbours, by default 15, or N - 1.
    t-SNE starts from the principal components. ``source`` is named in errors.
    """
    number = len(embeddings)
    if number < 5:
        raise ValueError(f'{source}: {number} videos; 5 or more are needed')
    usual = (min(30., (number - 1) / 3) if method == 'tsne' else
             min(15, number - 1))
    value = usual if neighbours is None else neighbours
    if value >= number:
        option = '--perplexity' if method == 'tsne' else '--neighbors'
        raise ValueError(f'{option} {value:g} must be below {number}, as many '
                         f'as in {source}; {max(2, int(usual))} works well')
    vectors = unit_length(embeddings).astype(np.float32)
    if method == 'umap':
        # n_jobs=1: what UMAP sets itself, with a warning, for a seed
        return need('umap', 'umap').UMAP(
            n_neighbors=value, metric='cosine', random_state=seed,
            n_jobs=1).fit_transform(vectors), value
    manifold = need('sklearn.manifold', 'figures')
    with one_thread():
        return manifold.TSNE(
            2, perplexity=value, metric='cosine', init='pca',
            random_state=seed).fit_transform(vectors), value


def draw(panels: Sequence[Panel], class_names: Optional[List[str]] = None,
         suffix: str = '.png', dpi: int = 300) -> bytes:
    """Draw panels side by side, five a row, as a .png, .pdf or .svg file, the
    same for the same input.

    The figure is made at the size it is printed at, so that 8 points stay 8
    points. A legend is there for 40 classes or fewer.
    """
    import matplotlib
    # No pyplot: nothing global, and no display is looked for.
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    classes = np.unique(np.concatenate([panel.labels for panel in panels]))
    styles = _styles(len(classes))
    names = []
    if len(classes) <= LEGEND_CLASSES:
        names = [shorten_end(class_names[c] if class_names else f'class {c}',
                             _LONGEST) for c in classes]
    columns = min(_PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    side = min(_WIDEST, _WIDTH / columns)
    titles = [fill(panel.title, int(side / 0.085)) for panel in panels]
    lines = 3.5 + max(title.count('\n') + 1 for title in titles)
    width, height = side * columns, (side + lines * _LINE) * rows
    # 0.06 inches a letter, 0.35 for mark and gap
    entry = 0.35 + 0.06 * max(map(len, names), default=0)
    per_line, beside = max(1, int(width / entry)), len(panels) == 1
    if names and beside:
        per_line, width = 1, width + entry
    elif names:
        height += _LINE * (1 + -(-len(names) // per_line))
    settings = {'svg.hashsalt': 'vifi_clip', 'svg.fonttype': 'none',
                'pdf.fonttype': 42, 'font.size': 8}
    with matplotlib.rc_context(settings):
        figure = Figure((width, height), layout='constrained')
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for title, panel, axis in zip(titles, panels, axes):
            _panel(axis, panel, classes, styles, side)
            # A name may hold a $, which is no mathematics.
            axis.set_title(title, fontsize=9, parse_math=False)
        for axis in axes[len(panels):]:
            axis.set_axis_off()
        if names:
            marks = [Line2D([], [], color=colour, marker=mark, lw=0, ms=5)
                     for colour, mark in styles]
            legend = figure.legend(
                marks, names, ncols=per_line, fontsize=8, frameon=False,
                loc='outside right center' if beside else
                'outside lower center', handletextpad=0.1, columnspacing=1.)
            for text in legend.get_texts():
                text.set_parse_math(False)
        out = io.BytesIO()
        dated = dict(pdf='CreationDate', svg='Date').get(suffix[1:])
        figure.savefig(out, format=suffix[1:], dpi=dpi, bbox_inches='tight',
                       metadata={dated: None} if dated else None)
    return out.getvalue()


def shorten_end(text: str, most: int) -> str:
    """Cut a text that is longer than ``most`` letters."""
    return text if len(text) <= most else f'{text[:most - 1]}…'


def _styles(classes: int) -> List[Tuple[tuple, str]]:
    """Choose a colour and a mark for each class."""
    from matplotlib import colormaps
    from matplotlib.colors import hsv_to_rgb
    if classes <= LEGEND_CLASSES:
        # Light versions of the ten colours would look alike to many.
        colours = colormaps['tab10'].colors
        return [(colours[i % 10], _MARKS[i // 10]) for i in range(classes)]
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
        rows = mixed[marks[kinds[mixed]] == mark]
        # A vector format need not hold many points one by one.
        axes.scatter(*panel.places[rows].T, size, c=colours[kinds[rows]],
                     marker=mark, edgecolors='white', linewidths=0.15,
                     rasterized=number > 5000)
    axes.set(xticks=[], yticks=[])
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
