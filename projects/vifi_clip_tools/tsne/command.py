"""``vifi-clip tsne``: models side by side in two dimensions."""
import argparse
import os
import os.path as osp
from typing import List, Optional, Sequence

from ..embeddings.command import add_list_arguments, record_of
from ..cli.options import HelpFormatter
from ..cli.options import add_model_arguments, inferencers_from_args
from ..cli.outputs import check_target

_FORMATS = ('.png', '.pdf', '.svg')
_FILES = ('.npz', '.parquet')
_EXAMPLES = """examples:
  vifi-clip tsne clip.npz vifi.npz --names "CLIP, ViFi-CLIP" --out fig7.pdf
  vifi-clip tsne val.txt --root videos --classes classes.txt \\
      --config vifi_k400 --checkpoint none vifi.pth --out fig1.png
  vifi-clip tsne vifi.npz --method umap --seed 1 --out umap.svg

Homogeneity, completeness and V-measure compare the classes with as many
k-means clusters of the embeddings (not of the picture)."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the figure."""
    parser = argparse.ArgumentParser(
        description='Draw video embeddings of one or several models side by '
        'side, and measure how well their clusters agree with the classes',
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument(
        'inputs', nargs='+', help='files of `vifi-clip embed`; or, with '
        '--checkpoint, a list (.txt) of "name label" lines')
    parser.add_argument('--out', '-o', required=True,
                        help='.png, .pdf or .svg file')
    parser.add_argument('--json', help='write the figures to this file, too')
    parser.add_argument('--names', help='titles with commas between '
                        '(default: names of the files or checkpoints)')
    parser.add_argument('--method', choices=['tsne', 'umap'], default='tsne',
                        help='(default: tsne)')
    parser.add_argument('--perplexity', type=float, help='of t-SNE (default: '
                        '30, or a third of the videos if those are fewer)')
    parser.add_argument('--neighbors', type=int, help='of UMAP (default: 15)')
    parser.add_argument('--seed', type=int, default=0, help='(default: 0)')
    parser.add_argument('--common', action='store_true', help='use the videos '
                        'that all files have, where they differ')
    parser.add_argument('--dpi', type=int, default=300,
                        help='pixels an inch (default: 300)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files that exist')
    add_list_arguments(parser)
    add_model_arguments(parser, several=True)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> List[dict]:
    """Draw, print the table and return its rows.

    Raises:
        FileNotFoundError: An input is absent.
        ValueError: Files that cannot be compared, a setting that does not
            suit them, or an unwritable output.
        UserError: scikit-learn or umap-learn is not installed.
    """
    args = parse_args(argv)
    check_target('--out', args.out, _FORMATS, args.overwrite)
    if args.json:
        check_target('--json', args.json, ('.json', ), args.overwrite)
    if not 0 <= args.seed < 2**32 or not 10 <= args.dpi <= 2400:
        raise ValueError('--seed is a whole number from 0 to 2^32 - 1 and '
                         f'--dpi from 10 to 2400, got {args.seed} and '
                         f'{args.dpi}')
    from projects.vifi_clip.errors import need
    need('sklearn', 'figures')
    if args.method == 'umap':
        need('umap', 'umap')
    paths, files = _read(args)
    from .report import compare
    return compare(files, paths, _titles(args.names, paths), args.out,
                   json_path=args.json, method=args.method, seed=args.seed,
                   perplexity=args.perplexity, neighbours=args.neighbors,
                   common=args.common, dpi=args.dpi)


def _read(args: argparse.Namespace) -> tuple:
    """Files of embeddings, after making them where models are given."""
    from ..embeddings.file import read_embeddings
    given = [path for path in args.inputs if path.lower().endswith(_FILES)]
    if not given:
        return _embed(args)
    if len(given) < len(args.inputs) or args.checkpoint != [None]:
        raise ValueError('give files of embeddings alone, or a list of '
                         'videos with --checkpoint')
    return given, [_named(read_embeddings(path), args.classes, path)
                   for path in given]


def _named(file, classes: Optional[str], path: str):
    """With the class names of --classes."""
    if classes is None or file.labels is None:
        return file
    from projects.vifi_clip.apis.inputs import read_labels
    file.class_names = read_labels(classes, '--classes')
    if file.labels.max(initial=-1) >= len(file.class_names):
        raise ValueError(f'{path} has labels up to {file.labels.max()} and '
                         f'--classes {len(file.class_names)} names')
    return file


def _embed(args: argparse.Namespace) -> tuple:
    """Embed the list with each model, into a folder beside the picture."""
    from ..embeddings.job import embed_videos
    from ..embeddings.embed_list import read_videos
    from projects.vifi_clip.apis.pipeline import parse_views
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        raise ValueError('tsne runs in one process; make files with torchrun '
                         'tools/embed.py and draw those')
    views = parse_views(args.num_views)
    videos = read_videos(args.inputs, args.root, args.classes)
    if videos.labels is None:
        raise ValueError('colours and scores need labels: give a list (.txt) '
                         'of "name label" lines, or files of embeddings')
    inferencers = inferencers_from_args(args)
    folder = osp.splitext(args.out)[0] + '_embeddings'
    paths, files = [], []
    for i, inferencer in enumerate(inferencers):
        config = args.config[i if len(args.config) > 1 else 0]
        checkpoint = args.checkpoint[i if len(args.checkpoint) > 1 else 0]
        stem = osp.splitext(osp.basename(checkpoint or config))[0]
        if checkpoint == 'none':
            stem = f'{osp.splitext(osp.basename(config))[0]}_none'
        paths.append(osp.join(folder, f'{i + 1}_{stem}.npz'))
        files.append(embed_videos(
            inferencer, videos, paths[-1], views, args.batch_size,
            args.overwrite, record_of(args, config, checkpoint)))
    return paths, files


def _titles(names: Optional[str], paths: Sequence[str]) -> List[str]:
    if names is None:
        return [osp.splitext(osp.basename(path))[0] for path in paths]
    titles = [name.strip() for name in names.split(',')]
    if len(titles) != len(paths):
        raise ValueError(f'--names has {len(titles)} names for {len(paths)} '
                         'panels')
    return titles
