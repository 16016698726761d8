"""Videos read ahead of the model, in batches, the bad ones told apart."""
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from numbers import Integral, Real
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from ..errors import UnreadableVideo
from .inputs import VideoInput, expand_inputs
from .pipeline import Views, VideoSampler

NONE = 'none of these'
_LARGEST = 1_000_000  # of a batch, and of labels
# Threads that decode while the model runs; decoders release the GIL.
_THREADS = 2


def check_arguments(batch_size: int, topk: Optional[int] = None,
                    threshold: Optional[float] = None,
                    on_error: str = 'raise') -> None:
    """Refuse bad arguments of a prediction by a ValueError."""
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
    if on_error not in ('raise', 'report'):
        raise ValueError("on_error must be 'raise' or 'report', got "
                         f'{on_error!r}')


def run_in_batches(run: Callable[[List[dict]], Iterable[dict]],
                   sampler: VideoSampler, videos: Any, num_views: Views,
                   batch_size: int, on_error: str,
                   show_progress: bool = False) -> Iterator[dict]:
    """Read videos, and put those that can be read through a model.

    ``run`` makes the results of a batch of samples. Yields ``video`` (its
    name) with the items of its result, or with ``error``, why it cannot be
    read; the inputs are looked at before this returns.
    """
    read, inputs = sampler.reader(num_views), expand_inputs(videos)

    def attempt(video: VideoInput) -> tuple:
        try:
            return dict(video=video.name), read(video)
        except UnreadableVideo as error:
            if on_error == 'raise':
                raise
            reason = ' '.join(error.reason.split())
            return dict(video=video.name, error=reason), None

    def results() -> Iterator[dict]:
        items = iter(tqdm(
            _ahead(attempt, inputs, batch_size + _THREADS), unit='video',
            total=len(inputs), disable=not show_progress))
        while batch := list(islice(items, batch_size)):
            samples = [sample for _, sample in batch if sample is not None]
            done = iter(run(samples) if samples else ())
            for result, sample in batch:
                yield result if sample is None else {**result, **next(done)}

    return results()


def _ahead(function: Callable, items: Sequence, ahead: int) -> Iterator:
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
    """Turn scores [K] into ``label``, ``labels``, ``scores``, best first."""
    order = np.argsort(-scores, kind='stable')[:topk]
    labels = [names[i] if names else int(i) for i in order]
    unsure = threshold is not None and scores[order[0]] < threshold
    return dict(label=NONE if unsure else labels[0], labels=labels,
                scores=scores[order].tolist())
