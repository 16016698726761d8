"""Exact and approximate search of a LanceDB table.

The approximate index sorts embeddings into cells (IVF) and reads only the
cells nearest to the query. ``IVF_PQ`` keeps 1 byte for each 8 numbers beside
the embeddings and compares the best candidates again exactly; ``IVF_FLAT``
keeps a second copy of all embeddings.
"""
from typing import Any, Optional

# By the names that LanceDB gives them when asked what there is.
_NAMES = dict(IvfPq='IVF_PQ', IvfFlat='IVF_FLAT')
KINDS = tuple(_NAMES.values())
DEFAULT = 'IVF_PQ'
# Below this an exact search takes milliseconds.
MIN_ROWS = 50_000
COLUMN = 'vector'
# Cells that are read, and candidates per hit that are compared exactly.
PROBES, REFINE = 60, 10


def kind_of(table: Any) -> Optional[str]:
    """The kind of a table's approximate index, None if it has none."""
    for found in table.list_indices():
        if COLUMN in found.columns:
            return _NAMES.get(found.index_type, found.index_type)
    return None


def build(table: Any, kind: str = DEFAULT) -> None:
    """Build an approximate index, or build it anew.

    Args:
        table: LanceDB table with a column ``vector``.
        kind (str): One of ``KINDS``.

    Raises:
        ValueError: An unknown kind, or fewer than ``MIN_ROWS`` rows.
    """
    from lancedb import index
    rows = 0 if table is None else table.count_rows()
    if rows < MIN_ROWS:
        raise ValueError(f'{rows} embeddings are searched exactly in '
                         f'milliseconds; --ann is for {MIN_ROWS} and more')
    if kind not in KINDS:
        raise ValueError(f'{kind!r} is none of {", ".join(KINDS)}')
    settings = dict(distance_type='cosine')
    if kind == 'IVF_PQ':
        dim = table.schema.field(COLUMN).type.list_size
        settings['num_sub_vectors'] = next(
            dim // n for n in (8, 4, 2, 1) if dim % n == 0)
        config = index.IvfPq(**settings)
    else:
        config = index.IvfFlat(**settings)
    table.create_index(COLUMN, config=config, replace=True)


def query(table: Any, vector: Any, topk: int, exact: bool) -> Any:
    """A search whose ``_distance`` is 1 - cosine.

    Args:
        table: LanceDB table of unit vectors.
        vector (np.ndarray): [D], of unit length.
        topk (int): Number of rows.
        exact (bool): Compare with every row.
    """
    found = table.search(vector, vector_column_name=COLUMN).limit(topk)
    if exact:
        return found.distance_type('dot').bypass_vector_index()
    return found.distance_type('cosine').nprobes(PROBES).refine_factor(REFINE)
