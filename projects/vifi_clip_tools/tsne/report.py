"""The picture and the table of ``vifi-clip tsne``."""
import os
import os.path as osp
import sys
from dataclasses import asdict, replace
from typing import List, Optional, Sequence, Tuple

import numpy as np

from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.apis.pipeline import parse_views
from projects.vifi_clip.errors import need
from projects.vifi_clip.files import write_bytes
from ..cli.outputs import check_json, check_target, for_people, put_json
from ..embeddings.file import Embeddings, read_embeddings
from ..embeddings.job import embed_videos, read_videos
from .figure import (NUM_INITS, Panel, cluster_scores, draw, layout,
                     shorten_end)
from .options import TsneOptions


def report(options: TsneOptions) -> None:
    """Run ``vifi-clip tsne``."""
    method, seed = options.method, options.seed
    check_target('--out', options.out, ('.png', '.pdf', '.svg'),
                 options.overwrite)
    check_json(options.json, options.overwrite)
    need('sklearn', 'figures')
    if method == 'umap':
        need('umap', 'umap')
    paths = options.files
    if paths:
        files = [_read(path, options.how.classes) for path in paths]
    else:
        paths, files = _embed(options)
    titles = options.titles or [osp.splitext(osp.basename(path))[0]
                                for path in paths]
    rows, panels = [], []
    files = align(files, paths, options.common)
    for file, path, title in zip(files, paths, titles):
        print(f'{title}: {method} of {len(file)} videos ...', file=sys.stderr)
        places, neighbours = layout(file.embeddings, path, method, seed,
                                    options.neighbours)
        scores = cluster_scores(file.embeddings, file.labels, seed)
        panels.append(Panel(title, places, file.labels, scores))
        rows.append(dict(name=title, file=path, **asdict(scores),
                         record=file.record))
    suffix = osp.splitext(options.out)[1].lower()
    write_bytes(options.out,
                draw(panels, files[0].class_names, suffix, options.dpi))
    if options.json:
        name = 'perplexity' if method == 'tsne' else 'neighbors'
        put_json(options.json, dict(
            picture=dict(method=method, seed=seed, metric='cosine',
                         **{name: neighbours}),
            clusters=dict(
                method='k-means', num_clusters=rows[0]['num_classes'],
                num_inits=NUM_INITS, seed=seed), models=rows))
    print(table(rows), options.out, sep='\n', file=for_people(options.json))


def _read(path: str, classes: Optional[str]) -> Embeddings:
    """Read a file; its classes get the names of --classes."""
    file = read_embeddings(path)
    if classes is not None and file.labels is not None:
        file.class_names = read_labels(classes, '--classes')
        if file.labels.max(initial=-1) >= len(file.class_names):
            raise ValueError(f'{path}: labels up to {file.labels.max()}, and '
                             f'--classes has {len(file.class_names)} names')
    return file


def _embed(options: TsneOptions) -> Tuple[List[str], List[Embeddings]]:
    """Embed the list with each model, into a folder beside the picture."""
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        raise ValueError('tsne runs in one process; make files with torchrun '
                         '-m projects.vifi_clip_tools embed and draw those')
    how = options.how
    views = parse_views(how.num_views)
    videos = read_videos(options.inputs, how.root, how.classes)
    if videos.labels is None:
        raise ValueError('colours and scores need labels: give a list (.txt) '
                         'of "name label" lines, or files of embeddings')
    inferencers = [model.load(views=[views])
                   for model in options.models]
    folder = osp.splitext(options.out)[0] + '_embeddings'
    paths, files = [], []
    for i, (model, inferencer) in enumerate(
            zip(options.models, inferencers), 1):
        stem = osp.splitext(osp.basename(model.checkpoint or model.config))[0]
        if model.checkpoint == 'none':
            stem = f'{osp.splitext(osp.basename(model.config))[0]}_none'
        paths.append(osp.join(folder, f'{i}_{stem}.npz'))
        files.append(embed_videos(
            inferencer, videos, paths[-1], views, how.batch_size,
            options.overwrite, model))
    return paths, files


def table(rows: Sequence[dict]) -> str:
    """Format rows as Table 11 has them, for a terminal of 80 columns."""
    names = [shorten_end(row['name'], 44) for row in rows]
    width = max(map(len, ['model', *names]))
    lines = [f'{"model":{width}}  homogeneity  completeness  V-measure']
    for name, row in zip(names, rows):
        lines.append(f'{name:{width}}  {row["homogeneity"]:11.2f}  '
                     f'{row["completeness"]:12.2f}  {row["v_measure"]:9.2f}')
    lines.append(f'{rows[0]["num_videos"]} videos, {rows[0]["num_classes"]} '
                 'classes; k-means with as many clusters')
    return '\n'.join(lines)


def align(files: Sequence[Embeddings], sources: Sequence[str],
          common: bool = False) -> List[Embeddings]:
    """Bring files to the same videos in the order of the first; where they
    differ, to those that all have if they are to be ``common``."""
    for file, source in zip(files, sources):
        if file.labels is None:
            raise ValueError(f'{source} has no labels; vifi-clip embed a list '
                             'of "name label" lines')
    first, *others = files = _same_videos(files, sources, common)
    classes = len(np.unique(first.labels))
    if not 1 < classes < len(first):
        raise ValueError(f'{sources[0]}: {len(first)} videos of {classes} '
                         'classes; two or more of several videos are needed')
    for file, source in zip(others, sources[1:]):
        for i in np.flatnonzero(file.labels != first.labels)[:1]:
            raise ValueError(
                f'{first.names[i]}: label {first.labels[i]} in {sources[0]}, '
                f'{file.labels[i]} in {source}; embed one list')
    names = None
    for file, source in zip(files, sources):
        names = names or file.class_names
        if file.class_names not in (None, [], names):
            raise ValueError(f'{source} names the classes differently; give '
                             'the right names with --classes')
    return [replace(file, class_names=names) for file in files]


def _same_videos(files: Sequence[Embeddings], sources: Sequence[str],
                 common: bool) -> List[Embeddings]:
    names = files[0].names
    if all(file.names == names for file in files):
        return list(files)
    for file, source in zip(files, sources):
        if len(set(file.names)) < len(file):
            raise ValueError(f'{source} has videos of the same name, which '
                             'cannot be told apart in another file')
    shared = set(names).intersection(*(file.names for file in files))
    if not shared or not common and any(
            len(file) != len(shared) for file in files):
        sizes = ', '.join(f'{len(file)} in {source}'
                          for file, source in zip(files, sources))
        raise ValueError(
            f'the videos differ: {sizes}; {len(shared)} are in all files: add '
            '--common to use those, or embed one list with one --root')
    rows = [{name: i for i, name in enumerate(file.names)} for file in files]
    return [file.take([row[name] for name in names if name in shared])
            for file, row in zip(files, rows)]
