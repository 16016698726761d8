"""``vifi-clip tsne``: models side by side in two dimensions."""

from ..cli.parsing import reader
from .options import TsneOptions

_EXAMPLES = """examples:
  vifi-clip tsne clip.npz vifi.npz --names "CLIP, ViFi-CLIP" --out fig7.pdf
  vifi-clip tsne val.txt --root videos --classes classes.txt \\
      --config vifi_k400 --checkpoint none vifi.pth --out fig1.png
  vifi-clip tsne vifi.npz --method umap --seed 1 --out umap.svg

Homogeneity, completeness and V-measure compare the classes with as many
k-means clusters of the embeddings (not of the picture)."""


parse_args = reader(
    TsneOptions, 'Draw video embeddings of one or several models '
    'side by side, and measure how well their clusters agree with the '
    'classes', _EXAMPLES)


def run(options: TsneOptions) -> None:
    """Draw the figure and print the table."""
    from .report import report
    report(options)
