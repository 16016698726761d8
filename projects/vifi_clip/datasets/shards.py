"""Packed videos in shards: a few large tar files, and an index of them.

``vifi-clip pack --shards`` writes both into one folder. The index says where
in which shard each video is, so that a sample is one read of a range of
bytes, and samples come in any order, as from single files.
"""
import os
import os.path as osp
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..errors import UnreadableVideo, UserError
from ..files import read_json
from .containers import Source, check_file, file_of

INDEX = 'pack_shards.json'  # in the folder of the shards


class Place(NamedTuple):
    """Where a video is."""

    shard: str  # tar file
    offset: int  # bytes in it before the video
    size: int  # bytes of the video
    checksum: int  # CRC-32 of them

    def problem(self) -> str:
        """Say what is wrong with the shard; '' if it has such bytes."""
        if _length(self.shard) >= self.offset + self.size:
            return ''
        return f'its shard {self.shard} is not there, or is cut short'

    def read(self) -> bytes:
        """Read the video; UnreadableVideo if its bytes are not those that
        were written."""
        if reason := self.problem():  # else memory is taken for any size
            raise UnreadableVideo(self.shard, reason)
        try:
            with open(self.shard, 'rb') as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise UnreadableVideo(
                self.shard, f'its shard {self.shard} cannot be read: '
                f'{error.strerror}') from error
        if zlib.crc32(data) != self.checksum:
            raise UnreadableVideo(
                self.shard, f'its shard {self.shard} is damaged; delete that '
                'file, and the same vifi-clip pack command packs its videos '
                'again')
        return data


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f'shard-{number:06}.tar'


def read_index(folder: Path) -> Optional[Dict[str, Any]]:
    """Read the index in a folder; None if there is none.

    It has ``gigabytes``, the size of a shard; ``counts``, the number of
    videos that each shard was written with; and ``videos``, by name: the
    number of its shard, the rest of its :class:`Place`, and which state of
    the original it was made of. A UserError if it is damaged.
    """
    path = Path(folder, INDEX)
    if not osp.isfile(path):
        return None
    try:
        index = read_json(path)
        index = dict(gigabytes=float(index['gigabytes']),
                     counts=list(index['counts']),
                     videos=dict(index['videos']))
        _check(**index)
        return index
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is damaged ({error}); get an intact copy, or '
                        'delete it and the shards beside it, and pack the '
                        'videos again') from error


def _check(gigabytes: float, counts: list, videos: Dict[str, Any]) -> None:
    """Raise ValueError or TypeError at what pack does not write: names out of
    the folder, above all, since a folder may come from anywhere."""
    if not 0 < gigabytes < float('inf'):
        raise ValueError(f'gigabytes are {gigabytes}')
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError('counts are not whole numbers')
    for name, entry in videos.items():
        *numbers, _ = entry
        if not {'', '.', '..'}.isdisjoint(name.split('/')) or '\0' in name:
            raise ValueError(f'{name!r:.200} is no path in the folder')
        if len(numbers) != 4 or numbers[0] >= len(counts) or not all(
                type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f'{name!r:.200} has the numbers {numbers}')


def places_of(folder: str, index: Dict[str, Any]) -> Dict[str, Place]:
    """Return the places of an index's videos, by their names."""
    shards = [osp.join(folder, shard_name(number))
              for number in range(len(index['counts']))]
    return {name: Place(shards[number], *place)
            for name, (number, *place, _) in index['videos'].items()}


def place_of(path: str) -> Optional[Place]:
    """Return where a video is, if it is in a shard of a folder above it; as
    :func:`file_of` does, its name is also tried with '.mp4' behind it."""
    path = osp.abspath(path)
    folder, places = _index_above(osp.dirname(path))
    if not places:
        return None
    name = path.removeprefix(osp.join(folder, '')).replace(os.sep, '/')
    return places.get(name) or places.get(f'{name}.mp4')


def source_of(path: str) -> Source:
    """Return the bytes of a video that is in a shard, and the file
    (:func:`file_of`) of any other.

    Raises:
        UnreadableVideo: There is no such file, or the shard is damaged.
    """
    try:
        return _source_of(path)
    except UnreadableVideo:
        forget_indices()  # it may have been put into another shard since
        return _source_of(path)


def _source_of(path: str) -> Source:
    if place := place_of(path):
        try:
            return place.read()
        except UnreadableVideo as error:
            # packing it again may have been interrupted
            if not osp.isfile(file_of(path)):
                raise UnreadableVideo(path, error.reason) from error
    file = file_of(path)
    check_file(file)
    return file


def size_of(path: str) -> int:
    """Return the bytes of a video, in a shard or not; 0 if there is none."""
    if place := place_of(path):
        return place.size
    return osp.getsize(file_of(path)) if osp.isfile(file_of(path)) else 0


def forget_indices() -> None:
    """Look anew for what is in folders when it is asked for."""
    _index_above.cache_clear()
    _length.cache_clear()


@lru_cache(maxsize=None)
def _index_above(folder: str) -> Tuple[str, Dict[str, Place]]:
    """Read the index in a folder or the next one above that has one."""
    index, parent = read_index(Path(folder)), osp.dirname(folder)
    if index is not None:
        return folder, places_of(folder, index)
    return ('', {}) if parent == folder else _index_above(parent)


@lru_cache(maxsize=None)
def _length(shard: str) -> int:
    return osp.getsize(shard) if osp.isfile(shard) else 0
