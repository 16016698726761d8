"""``vifi-clip search``: find videos of an index by words or by example."""

from ..cli.parsing import reader
from .options import SearchOptions

_EXAMPLES = """examples:
  vifi-clip search "a dog catching a frisbee"
  vifi-clip search "a goal" "a red card" --index my_index --topk 5 \\
      --sheet found.jpg --json found.json
  vifi-clip search --videos like_this.mp4 --index my_index

Queries use the model of the index, which vifi-clip index makes."""


parse_args = reader(SearchOptions, 'Search an index of videos', _EXAMPLES)


def run(options: SearchOptions) -> None:
    """Print what was found for each query."""
    from .querying import search
    search(options)
