"""``vifi-clip index``: embeddings of folders of videos, to be searched."""
from typing import Optional

from ..cli.parsing import reader
from .options import IndexOptions

_EXAMPLES = """examples:
  vifi-clip index videos/
  vifi-clip index videos/ talks/*.mp4 --index my_index --window 10
  vifi-clip index videos/ --index my_index --prune
  vifi-clip search "a dog catching a frisbee" --index my_index

Run it again after adding videos: those that have not changed (path, size and
modification time) are skipped. Ctrl-C keeps finished work. Only one process
can write at a time; others can search meanwhile. Exit code: 0 if all videos
are in the index, 1 if some could not be read (the others are in it), 2 for a
bad option, 130 after Ctrl-C."""


parse_args = reader(
    IndexOptions, 'Make or update an index of videos for vifi-clip search',
    _EXAMPLES)


def run(options: IndexOptions) -> Optional[int]:
    """Bring the index up to date; 1 if a video could not be read."""
    from .indexing import index
    return index(options)
