"""Move packed videos into shards: a few tar files in place of very many.

A shard gets its name when it is whole, then the index is replaced, then what
the shard was made of is removed: whenever a run is killed, each video can be
read, and the next run goes on from there. The number of a shard is used once.
"""
import io
import json
import os
import random
import tarfile
import zlib
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from tqdm import tqdm

from projects.vifi_clip.datasets.shards import (INDEX, forget_indices,
                                                places_of, read_index,
                                                shard_name)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import replacing, write_bytes

from .encode import comment_of

_BLOCK = 512  # bytes, of tar files


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an OSError into a UserError that says how to go on."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f'{target} cannot be written: {error.strerror}; packed videos are '
            'kept, and the same command resumes from there') from error


def open_index(out: Path, gigabytes: Optional[float]
               ) -> Optional[Dict[str, Any]]:
    """Read a folder's index (see :func:`read_index`), without videos whose
    shards are lost; None if there are to be no shards.

    Raises:
        UserError: The index is damaged, or lost.
    """
    forget_indices()
    index = read_index(out)
    if index is None:
        if shards := sorted(out.glob('shard-*.tar')):
            raise UserError(f'{out} has {shards[0].name}, but no {INDEX}, its '
                            'index; get that back, or delete the shards, and '
                            'their videos are packed again')
        if gigabytes is None:
            return None
        index = dict(gigabytes=gigabytes, counts=[], videos={})
        _write(out, index)  # a shard without an index is none of ours
    for name, place in places_of(str(out), index).items():
        if place.problem():
            del index['videos'][name]
    index['gigabytes'] = gigabytes or index['gigabytes']
    return index


def move_into_shards(out: Path, names: Sequence[str], index: Dict[str, Any]
                     ) -> None:
    """Move those of the videos that are single files.

    Shards that hold an older copy of one of them, or of which a part is lost,
    are written anew without it. The videos of a shard are drawn at random.
    """
    singles = [name for name in names if (out / name).is_file()]
    moved = [name for name in singles if name in index['videos']
             and comment_of(str(out / name)) == index['videos'][name][-1]]
    _remove(out, moved, index)
    singles = sorted({*singles} - {*moved})
    queue = singles + _beside(singles, index)
    random.Random(0).shuffle(queue)
    with tqdm(total=len(queue), unit='video', ncols=79, desc='shards',
              disable=not queue) as bar:
        while queue:
            with writing(out / shard_name(len(index['counts']))):
                written = _write_shard(out, queue, index)
                _write(out, index)
            _remove(out, written, index)
            bar.update(len(written))
    for folder in {os.path.dirname(name) for name in index['videos']}:
        with suppress(OSError):  # not empty, or gone
            os.removedirs(out / folder)


def _beside(singles: Sequence[str], index: Dict[str, Any]) -> List[str]:
    """Return the other videos of shards in which some are of no more use."""
    replaced = {*singles}
    used = Counter(number for name, (number, *_) in index['videos'].items()
                   if name not in replaced)
    return [name for name, (number, *_) in sorted(index['videos'].items())
            if name not in replaced
            and used[number] < index['counts'][number]]


def _write_shard(out: Path, queue: List[str], index: Dict[str, Any]
                 ) -> List[str]:
    """Write the next shard from the end of a queue; returns its videos."""
    number = len(index['counts'])
    places, entries = places_of(str(out), index), {}
    with replacing(out / shard_name(number)) as path, path.open('wb') as file:
        with tarfile.open(fileobj=file, mode='w') as tar:
            while queue and file.tell() < 1e9 * index['gigabytes']:
                name = queue.pop()
                single = out / name
                data = (single.read_bytes() if single.is_file()
                        else places[name].read())
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                offset = file.tell() - -(-len(data) // _BLOCK) * _BLOCK
                entries[name] = [number, offset, len(data), zlib.crc32(data),
                                 comment_of(data)]
        file.flush()
        os.fsync(file.fileno())
    index['counts'].append(len(entries))
    index['videos'].update(entries)
    return list(entries)


def _write(out: Path, index: Dict[str, Any]) -> None:
    # json.dump would write it in Python, and slowly, with an indent.
    write_bytes(out / INDEX, json.dumps(index).encode())
    forget_indices()


def _remove(out: Path, names: Sequence[str], index: Dict[str, Any]) -> None:
    """Remove the single files of videos in shards, and shards that the index
    does not need."""
    for name in names:
        (out / name).unlink(missing_ok=True)
    used = {shard_name(number) for number, *_ in index['videos'].values()}
    for shard in out.glob('shard-*.tar'):
        if shard.name not in used:
            shard.unlink()
