"""The set of unreadable videos, shared by all processes that load data."""
import logging
from typing import Callable, Dict, List, Sequence, Union

import torch
from mmengine.logging import print_log


class BadVideos:
    """Indices of a data set's bad videos, and why they are bad.

    Args:
        filename (Callable): Gives the file name of an index.
        size (int): Number of videos in the data set.
    """

    SHOWN = 5  # file names in a message

    def __init__(self, filename: Callable[[int], str], size: int) -> None:
        self.filename = filename
        # In shared memory, so that all workers and the main process count
        # the same set, whether they were forked or spawned.
        self.flags = torch.zeros(size, dtype=torch.bool).share_memory_()
        self._reasons: Dict[int, str] = {}  # as far as this process knows

    def __len__(self) -> int:
        return int(self.flags.sum())

    def __contains__(self, idx: int) -> bool:
        return bool(self.flags[idx])

    def indices(self) -> List[int]:
        """Return the indices of the bad videos, ascending."""
        return self.flags.nonzero()[:, 0].tolist()

    def add(self, indices: Sequence[int], reason: str) -> None:
        """Mark videos as bad and log it.

        Args:
            indices (Sequence[int]): At least one index.
            reason (str): Why they are bad.
        """
        self.flags[list(indices)] = True
        self._reasons.update(dict.fromkeys(indices, reason))
        print_log(
            f'bad video {self.describe(indices)} '
            f'[{len(self)} of {len(self.flags)} are bad so far]',
            logger='current',
            level=logging.WARNING)

    def describe(self, indices: Sequence[int]) -> str:
        """Name the first few of some bad videos, with reasons."""
        unknown = 'found by another process, see its log'
        names = [
            f'{self.filename(i)} ({self._reasons.get(i, unknown)})'
            for i in indices[:self.SHOWN]
        ]
        if len(indices) > self.SHOWN:
            names.append(f'and {len(indices) - self.SHOWN} more')
        return ', '.join(names)

    def subset(self, filename: Callable[[int], str],
               indices: Union[Sequence[int], int]) -> 'BadVideos':
        """Return the set for a subset, as ``BaseDataset.get_subset`` takes it.

        Args:
            filename (Callable): Gives the file name of an index of the
                subset.
            indices (int | Sequence[int]): First ``indices`` videos, or last
                when negative, or these indices.

        Returns:
            BadVideos: An independent set over the subset's own indices.
        """
        order = list(range(len(self.flags)))
        if not isinstance(indices, int):
            kept = [order[i] for i in indices]
        else:
            kept = order[:indices] if indices >= 0 else order[indices:]
        result = BadVideos(filename, len(kept))
        result.flags.copy_(self.flags[kept])
        result._reasons = {
            new: self._reasons[old]
            for new, old in enumerate(kept) if old in self._reasons
        }
        return result
