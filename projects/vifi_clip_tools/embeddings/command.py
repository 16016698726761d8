"""``vifi-clip embed``: video embeddings of a list, as a file."""
from typing import Optional

from ..cli.parsing import reader
from .options import EmbedOptions

_EXAMPLES = """examples:
  vifi-clip embed val.txt --root videos --classes classes.txt --out val.npz
  vifi-clip embed clips/ more/*.mp4 --config vifi_k400 \\
      --checkpoint vifi.pth --num-views 4 --out clips.parquet
  torchrun --nproc_per_node 4 -m projects.vifi_clip_tools embed val.txt \\
      --root videos --out val.npz

You can stop it at any time: the same command resumes where it stopped. Exit
code: 0 if all videos are embedded, 1 if some could not be read (they are named
in the file; --allow-bad makes that 0), 2 if no file was written."""


parse_args = reader(
    EmbedOptions, 'Embed each video as one vector of length 1', _EXAMPLES)


def run(options: EmbedOptions) -> Optional[int]:
    """Write the file; 1 if a video could not be read."""
    from .job import embed
    return embed(options)
