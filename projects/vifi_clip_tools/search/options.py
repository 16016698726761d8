"""What the command lines of ``index`` and ``search`` say."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import CONFIG, EngineOptions, ModelOptions, model_config
from ..cli.outputs import PRINT
from ..cli.parsing import argument, option, part, positive_int, seconds

INDEX = 'vifi_index'


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """An index to make, to bring up to date, or to maintain."""

    videos: List[str] = argument(
        nargs='*', help='folders, files and patterns; optional with --prune '
        'or --ann')
    index: str = option(default=INDEX, metavar='FOLDER',
                        help=f'folder of the index (default: {INDEX})')
    window: Optional[float] = option(
        type=seconds, metavar='SECONDS', help='make one embedding for each '
        'window of a video, so that moments in long ones can be found '
        '(default: one for the whole video)')
    batch_size: int = option(type=positive_int, default=4,
                             help='videos in a batch (default: 4)')
    prune: bool = option(
        action='store_true', help='forget videos that are no longer on disk: '
        'those in the given folders, or all (default: only report them)')
    ann: Optional[str] = option(
        nargs='?', const='IVF_PQ', choices=['IVF_PQ', 'IVF_FLAT'],
        help='build an approximate index for searches to use, worthwhile from '
        '50,000 embeddings on; IVF_FLAT is quicker to build than IVF_PQ '
        '(default), but takes as much disk again and is slower to search')
    model: ModelOptions = part(ModelOptions, config=model_config(
        f'the model of the index; {CONFIG} for a new index'))
    engine: EngineOptions = part(EngineOptions)
    num_views: Optional[str] = option(
        help="views of each video, whose embeddings are averaged: 4, 4x3, "
        "'config' (default: the index's; 1 for a new one)")

    def __post_init__(self) -> None:
        if not (self.videos or self.prune or self.ann):
            raise ValueError('name the folders or files to index')


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Queries to an index."""

    queries: List[str] = argument(nargs='*', metavar='QUERY',
                                  help='what to look for, in words')
    index: str = option(default=INDEX, metavar='FOLDER',
                        help=f'made by vifi-clip index (default: {INDEX})')
    topk: int = option(type=positive_int, default=10, metavar='N',
                       help='number of results (default: 10)')
    videos: List[str] = option(nargs='+', metavar='FILE', default=[],
                               help='search for videos like these instead')
    sheet: Optional[str] = option(
        metavar='FILE', help='write a contact sheet with frames of the '
        'results (.jpg, .png)')
    json: Optional[str] = option(
        nargs='?', const=PRINT, metavar='FILE', help='write the results, with '
        'full paths; without FILE, print them')
    overwrite: bool = option(action='store_true', help='replace --sheet and '
                             '--json if they exist')
    template: str = option(
        default='{}', help='a sentence with {} where the query goes, such as '
        "'a photo of {}', or 'model' for the one that a fine-tuned model "
        'learnt, for queries like its labels (default: the query alone)')
    exact: bool = option(
        action='store_true', help='compare with every embedding even if the '
        'index has an approximate one (index --ann)')
    model: ModelOptions = part(ModelOptions, config=model_config(
        'the model of the index; give its path if it was moved'))

    def __post_init__(self) -> None:
        if bool(self.videos) == bool(self.queries):
            raise ValueError('give either words to look for or --videos')
        if not all(map(str.strip, self.queries)):
            raise ValueError('a query is empty; type what to look for')
        if self.template != 'model' and self.template.count('{}') != 1:
            raise ValueError(f'--template {self.template!r} must have {{}} '
                             "once, where the query goes, or be 'model'")
