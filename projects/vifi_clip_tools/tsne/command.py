"""``vifi-clip tsne``: models side by side in two dimensions."""
import argparse
from typing import Optional, Sequence

from ..cli.options import (HelpFormatter, add_model_arguments, number,
                           several_model_options)
from ..embeddings.options import SUFFIXES, add_list_arguments, list_options
from .options import TsneOptions

_EXAMPLES = """examples:
  vifi-clip tsne clip.npz vifi.npz --names "CLIP, ViFi-CLIP" --out fig7.pdf
  vifi-clip tsne val.txt --root videos --classes classes.txt \\
      --config vifi_k400 --checkpoint none vifi.pth --out fig1.png
  vifi-clip tsne vifi.npz --method umap --seed 1 --out umap.svg

Homogeneity, completeness and V-measure compare the classes with as many
k-means clusters of the embeddings (not of the picture)."""


def parse_args(argv: Optional[Sequence[str]] = None) -> TsneOptions:
    """Read the command line of the figure."""
    parser = argparse.ArgumentParser(
        description='Draw video embeddings of one or several models side by '
        'side, and measure how well their clusters agree with the classes',
        epilog=_EXAMPLES, formatter_class=HelpFormatter)
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
    parser.add_argument('--perplexity', type=number(float, 1), help='of '
                        't-SNE (default: 30, or a third of the videos if '
                        'those are fewer)')
    parser.add_argument('--neighbors', type=number(int, 2),
                        help='of UMAP (default: 15)')
    parser.add_argument('--seed', type=number(int, 0, 2**32 - 1), default=0,
                        help='(default: 0)')
    parser.add_argument('--common', action='store_true', help='use the videos '
                        'that all files have, where they differ')
    parser.add_argument('--dpi', type=number(int, 10, 2400), default=300,
                        help='pixels an inch (default: 300)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files that exist')
    add_list_arguments(parser)
    add_model_arguments(parser, several=True)
    args = parser.parse_args(argv)
    files = [path for path in args.inputs if path.lower().endswith(SUFFIXES)]
    if files and (len(files) < len(args.inputs) or args.checkpoint != [None]):
        parser.error('give files of embeddings alone, or a list of videos '
                     'with --checkpoint')
    models = [] if files else several_model_options(args, parser)
    titles = args.names and [name.strip() for name in args.names.split(',')]
    if titles and len(titles) != len(files or models):
        parser.error(f'--names has {len(titles)} names for '
                     f'{len(files or models)} panels')
    neighbours, other = args.perplexity, args.neighbors
    if args.method == 'umap':
        neighbours, other = other, neighbours
    if other is not None:
        parser.error('--perplexity is a setting of --method tsne, and '
                     '--neighbors of umap')
    return TsneOptions(
        files, list_options(args, args.inputs), models, titles, args.out,
        args.json, args.method, neighbours, args.seed, args.common, args.dpi,
        args.overwrite)


def run(options: TsneOptions) -> None:
    """Draw the figure and print the table."""
    from .report import report
    report(options)
