"""The picture and the table of ``vifi-clip tsne``."""
import json
import sys
from dataclasses import asdict
from typing import List, Optional, Sequence

from .cluster_scores import NUM_INITS, check_labels, cluster_scores
from ..embeddings.file import Embeddings
from .tsne_compare import align
from .figure import Panel, draw
from .tsne_layout import check_settings, layout

_SCORES = ('homogeneity', 'completeness', 'v_measure')


def compare(files: Sequence[Embeddings],
            sources: Sequence[str],
            titles: Sequence[str],
            out: str,
            json_path: Optional[str] = None,
            method: str = 'tsne',
            seed: int = 0,
            perplexity: Optional[float] = None,
            neighbours: Optional[int] = None,
            common: bool = False,
            dpi: int = 300) -> List[dict]:
    """Draw models side by side and print how well their clusters are.

    Args:
        files (Sequence[Embeddings]): One for each model, with labels.
        sources (Sequence[str]): Their paths.
        titles (Sequence[str]): Their names in picture and table.
        out (str): ``.png``, ``.pdf`` or ``.svg`` file; replaced.
        json_path (str, optional): The table as a file.
        method, seed, perplexity, neighbours: See
            :func:`~.tsne_layout.layout`.
        common (bool): See :func:`~.tsne_compare.align`.
        dpi (int): Of pixels. Defaults to 300.

    Returns:
        list[dict]: A row for each model.

    Raises:
        ValueError: Files that cannot be compared, or a setting that does not
            suit them.
    """
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    files = align(files, sources, common)
    check_labels(files[0].labels, sources[0])
    value = check_settings(len(files[0]), sources[0], method, perplexity,
                           neighbours)
    rows, panels = [], []
    for file, source, title in zip(files, sources, titles):
        print(f'{title}: {method} of {len(file)} videos ...',
              file=sys.stderr)
        scores = cluster_scores(file.embeddings, file.labels, seed)
        places = layout(file.embeddings, method, seed, perplexity,
                        neighbours)
        panels.append(Panel(title, places, file.labels, scores))
        rows.append(dict(name=title, file=source, **asdict(scores),
                         record=file.record))
    backend = AtomicLocalBackend()
    suffix = out[out.rindex('.'):].lower()
    backend.put(draw(panels, files[0].class_names, suffix, dpi), out)
    if json_path:
        settings = dict(method=method, seed=seed, metric='cosine')
        settings['perplexity' if method == 'tsne' else 'neighbors'] = value
        clusters = dict(method='k-means', num_clusters=rows[0]['num_classes'],
                        num_inits=NUM_INITS, seed=seed)
        text = json.dumps(dict(picture=settings, clusters=clusters,
                               models=rows), indent=1)
        backend.put(text.encode(), json_path)
    print(table(rows))
    print(out)
    return rows


def table(rows: Sequence[dict]) -> str:
    """Rows as Table 11 has them, for a terminal of 80 columns."""
    width = min(44, max(len('model'), *(len(r['name']) for r in rows)))
    lines = [f'{"model":{width}}  homogeneity  completeness  V-measure']
    for row in rows:
        name = row['name']
        if len(name) > width:
            name = f'{name[:width - 1]}…'
        a, b, c = (row[score] for score in _SCORES)
        lines.append(f'{name:{width}}  {a:11.2f}  {b:12.2f}  {c:9.2f}')
    first = rows[0]
    lines.append(f'{first["num_videos"]} videos, {first["num_classes"]} '
                 'classes; k-means with as many clusters')
    return '\n'.join(lines)
