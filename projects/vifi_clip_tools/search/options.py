"""What the command lines of ``index`` and ``search`` say."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import CONFIG, ModelOptions, model_config
from ..cli.parsing import argument, option, part, positive_int, seconds

INDEX = 'vifi_index'


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """An index to make, to bring up to date, or to maintain."""

    videos: List[str] = argument(
        nargs='*', help='folders, files and patterns; may be left out with '
        '--prune or --ann')
    index: str = option(default=INDEX, metavar='FOLDER',
                        help=f'where the index is (default: {INDEX})')
    window: Optional[float] = option(
        type=seconds, metavar='SECONDS', help='one embedding for each window '
        'of a video, so that a moment in a long one is found (default: one '
        'for the whole video)')
    batch_size: int = option(type=positive_int, default=4,
                             help='videos at once (default: 4)')
    prune: bool = option(
        action='store_true', help='forget videos that are no longer on disk: '
        'those of the given folders, or all (default: they are only '
        'reported)')
    ann: Optional[str] = option(
        nargs='?', const='IVF_PQ', choices=['IVF_PQ', 'IVF_FLAT'],
        help='build an approximate index over the embeddings, for 50,000 and '
        'more, which searches then use; IVF_FLAT is built sooner than IVF_PQ '
        '(default), takes as much disk again and is slower to search')
    model: ModelOptions = part(ModelOptions, config=model_config(
        f'the model of the index; {CONFIG} for a new index'))
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
                       help='how many to show (default: 10)')
    videos: List[str] = option(nargs='+', metavar='FILE', default=[],
                               help='search for what looks like these instead')
    sheet: Optional[str] = option(
        metavar='FILE', help='contact sheet with frames of what was found '
        '(.jpg, .png)')
    json: Optional[str] = option(metavar='FILE',
                                 help='the results, with full paths')
    overwrite: bool = option(action='store_true', help='replace --sheet and '
                             '--json if they exist')
    template: str = option(
        default='{}', help='a sentence with {} where the query goes, such as '
        "'a photo of {}'; 'model': the one that a fine-tuned model learnt, "
        'for queries like its labels (default: the query as it is)')
    exact: bool = option(
        action='store_true', help='compare with every embedding even if the '
        'index has an approximate one (index --ann)')
    model: ModelOptions = part(ModelOptions, config=model_config(
        'the model of the index; say where it is if it was moved'))

    def __post_init__(self) -> None:
        if bool(self.videos) == bool(self.queries):
            raise ValueError('give words to look for, or --videos')
        if not all(map(str.strip, self.queries)):
            raise ValueError('a query is empty; say in words what to look for')
        if self.template != 'model' and self.template.count('{}') != 1:
            raise ValueError(f'--template {self.template!r} must have {{}} '
                             "once, where the query goes, or be 'model'")
