"""Search in words, and by example."""
import os.path as osp
import time
from typing import Any, List, Sequence

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import expand_inputs
from projects.vifi_clip.apis.pipeline import parse_views
from projects.vifi_clip.files import write_bytes, write_json
from ..cli.outputs import check_target
from .options import SearchOptions
from .sheet import contact_sheet, encode, format_hits, shorten, stack
from .store import Hit, VideoIndex


def search(options: SearchOptions) -> None:
    """Run ``vifi-clip search``: print what was found for each query."""
    queries = options.queries
    if options.videos:
        queries = [video.name for video in expand_inputs(options.videos)]
    index = VideoIndex(options.index)
    index.check_filled()
    if options.sheet:
        check_target('--sheet', options.sheet, ('.jpg', '.jpeg', '.png'),
                     options.overwrite)
    if options.json:
        check_target('--json', options.json, ('.json', ), options.overwrite)
    model = index.model_options(options.model)
    inferencer = model.load()
    index.check(inferencer, model)
    start = time.perf_counter()
    if options.videos:
        found = search_videos(index, inferencer, options.videos, options.topk,
                              options.exact)
    else:
        found = search_texts(index, inferencer, queries, options.topk,
                             options.template, options.exact)
    duration = time.perf_counter() - start
    for query, hits in zip(queries, found):
        print(f'\n{shorten(query, 80)}\n{format_hits(hits)}')
    kind = None if options.exact else index.ann
    print(f'\n{len(index)} embeddings, '
          f'{f"approximate ({kind})" if kind else "exact"} search, '
          f'{duration:.2f} s with the query\'s embedding')
    if options.json:
        write_json(options.json, dict(
            index=index.path, model=str(index.identity), queries=[
                dict(query=query, hits=[dict(rank=rank, **hit._asdict())
                                        for rank, hit in enumerate(hits, 1)])
                for query, hits in zip(queries, found)]))
        print(f'results: {options.json}')
    if options.sheet:
        sheets = [contact_sheet(hits, osp.basename(query) if options.videos
                                else query)
                  for query, hits in zip(queries, found)]
        write_bytes(options.sheet, encode(stack(sheets), options.sheet))
        print(f'contact sheet: {options.sheet}')


def search_texts(index: VideoIndex, inferencer: ViFiCLIPInferencer,
                 queries: Sequence[str], topk: int = 10,
                 template: str = '{}',
                 exact: bool = False) -> List[List[Hit]]:
    """Find the videos that fit best to each text, best first. ``template`` is
    a sentence with ``{}`` where the query goes, or 'model' for those that the
    model was trained with."""
    templates = None if template == 'model' else [template]
    # one by one: a query may be there twice, and class names may not
    return [index.search(inferencer.text_embeddings([query], templates)[0],
                         topk, exact) for query in queries]


def search_videos(index: VideoIndex, inferencer: ViFiCLIPInferencer,
                  videos: Any, topk: int = 10,
                  exact: bool = False) -> List[List[Hit]]:
    """Find the videos most like each of some videos, which may be among
    them; see :func:`search_texts` and :func:`expand_inputs`."""
    views = parse_views(index.identity.num_views)
    return [index.search(result['embedding'], topk, exact)
            for result in inferencer.embed(videos, num_views=views)]
