"""Queries in words, and by example."""
from typing import Any, List, Optional, Sequence

from .rows import Hit
from .store import VideoIndex

MODEL = 'model'  # in a template's place: the model's own


def search_texts(index: VideoIndex,
                 inferencer: Any,
                 queries: Sequence[str],
                 topk: int = 10,
                 template: str = '{}',
                 exact: Optional[bool] = None) -> List[List[Hit]]:
    """The videos that fit best to each text.

    Args:
        index (VideoIndex): What to search; see :meth:`VideoIndex.check` for
            whether it is of this model.
        inferencer (ViFiCLIPInferencer): The model of the index.
        queries (Sequence[str]): M texts.
        topk (int): Hits of each. Defaults to 10.
        template (str): A sentence with ``{}`` where the query goes, or
            'model' for those that the model was trained with. Defaults to
            '{}': the query as it is.
        exact (bool, optional): See :meth:`VideoIndex.search`.

    Returns:
        list[list[Hit]]: M lists, best first.

    Raises:
        ValueError: No query, an empty one, or one that is too long.
    """
    check_queries(queries, template)
    templates = None if template == MODEL else [template]
    # one by one: a query may be there twice, and class names may not
    return [
        index.search(inferencer.text_embeddings([query], templates)[0], topk,
                     exact) for query in queries
    ]


def check_queries(queries: Sequence[str], template: str = '{}') -> None:
    """Refuse what cannot be searched, before a model is loaded.

    Raises:
        ValueError: No query, an empty one, or a bad template.
    """
    if not queries:
        raise ValueError('Give at least one query')
    if not all(query.strip() for query in queries):
        raise ValueError('The query is empty; say in words what to look for')
    if template != MODEL and template.count('{}') != 1:
        raise ValueError(f'--template {template!r} must have {{}} once, '
                         f'where the query goes, or be {MODEL!r}')


def search_videos(index: VideoIndex,
                  inferencer: Any,
                  videos: Any,
                  topk: int = 10,
                  exact: Optional[bool] = None) -> List[List[Hit]]:
    """The videos most like each of some videos, which may be among them.

    Args:
        index, inferencer, topk, exact: See :func:`search_texts`.
        videos: See :func:`expand_inputs`.

    Raises:
        UserError: A video cannot be read.
    """
    from projects.vifi_clip.apis.pipeline import parse_views
    views = parse_views(index.identity.num_views)
    return [
        index.search(result['embedding'], topk, exact)
        for result in inferencer.embed(videos, num_views=views)
    ]
