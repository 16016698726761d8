"""Videos read ahead of the model, in batches, the bad ones told apart."""
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from numbers import Integral, Real
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence

import numpy as np

from ..errors import UnreadableVideo, UserError
from .pipeline import Views, check_views
from .inputs import VideoInput, expand_inputs
from .sampling import VideoSampler

NONE = 'none of these'
ON_ERROR = ('raise', 'report')
_LARGEST = 1_000_000  # of a batch, and of labels
# Threads that decode while the model runs; decoders release the GIL.
_THREADS = 2


def check_arguments(batch_size: int,
                    topk: Optional[int] = None,
                    threshold: Optional[float] = None,
                    on_error: str = 'raise') -> None:
    """Refuse bad arguments of a prediction.

    Raises:
        ValueError: Naming the value and what is allowed.
    """
    for name, value in dict(batch_size=batch_size, topk=topk).items():
        if value is not None and (isinstance(value, bool)
                                  or not isinstance(value, Integral)
                                  or not 1 <= value <= _LARGEST):
            raise ValueError(f'{name} must be a whole number from 1 to '
                             f'{_LARGEST}, got {value!r}')
    if threshold is not None and not (isinstance(threshold, Real)
                                      and 0 <= threshold <= 1):
        raise ValueError('threshold is a probability from 0 to 1, got '
                         f'{threshold!r}')
    if on_error not in ON_ERROR:
        raise ValueError(f'on_error must be one of {ON_ERROR}, got '
                         f'{on_error!r}')


def batches(sampler: VideoSampler,
            videos: Any,
            num_views: Views,
            batch_size: int,
            on_error: str,
            show_progress: bool = False) -> Iterator[tuple]:
    """Read videos, and gather them.

    Args:
        sampler (VideoSampler): Reads one.
        videos: See :func:`expand_inputs`; looked at before this returns.
        num_views: See :class:`ViFiCLIPInferencer`.
        batch_size (int): Videos of a batch.
        on_error (str): 'raise' or 'report'.
        show_progress (bool): A bar on standard error. Defaults to False.

    Returns:
        Iterator[tuple]: Of each batch the videos, the samples of those that
        could be read, and for each video None or what is wrong with it.
    """
    read = sampler.reader(check_views(num_views))
    videos = expand_inputs(videos)

    def attempt(video: VideoInput) -> tuple:
        try:
            return video, read(video), None
        except UnreadableVideo as error:
            if on_error == 'raise':
                raise
            return video, None, ' '.join(error.reason.split())

    items = _ahead(attempt, videos, batch_size + _THREADS)
    if show_progress:
        from tqdm import tqdm
        items = tqdm(items, total=len(videos), unit='video')
    return _gathered(iter(items), batch_size)


def _gathered(items: Iterator[tuple], batch_size: int) -> Iterator[tuple]:
    while batch := list(islice(items, batch_size)):
        videos, samples, errors = zip(*batch)
        yield videos, [s for s in samples if s is not None], errors


def _ahead(function: Callable, items: Sequence, ahead: int) -> Iterable:
    """``map`` whose next results are made while the last one is used."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = [pool.submit(function, item) for item in items[:ahead]]
        try:
            for i in range(len(items)):
                done = waiting.pop(0).result()
                if i + ahead < len(items):
                    waiting.append(pool.submit(function, items[i + ahead]))
                yield done
        finally:  # the caller has had enough, or there was an error
            pool.shutdown(wait=False, cancel_futures=True)


def ranked(scores: np.ndarray, names: Optional[Sequence[str]],
           topk: Optional[int], threshold: Optional[float]) -> dict:
    """Scores [K] as ``label``, ``labels`` and ``scores``, best first."""
    order = np.argsort(-scores, kind='stable')[:topk]
    labels = [names[i] if names else int(i) for i in order]
    best = labels[0]
    if threshold is not None and scores[order[0]] < threshold:
        best = NONE
    return dict(label=best, labels=labels,
                scores=[float(scores[i]) for i in order])


def one_video(video: Any) -> VideoInput:
    """The only video of what was given.

    Raises:
        UserError: None, or several.
    """
    found = expand_inputs(video)
    if len(found) != 1:
        raise UserError(f'One video is wanted, {video} are {len(found)}')
    return found[0]
