"""Frame embeddings on disk: made once, read in every epoch.

A folder holds ``cache.json`` (what the embeddings were made with) and, for
each list of videos, ``NAME.npy`` ([N, T, D], memory-mapped) with
``NAME.json`` (the N paths and file sizes), which is written last and so marks
it as whole. While a list is being embedded its files end in ``.part``.

Letters: N videos of a list, T frames of a view, D embedding.
"""
import hashlib
import json
import os
import os.path as osp
import posixpath
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..files import read_json

SETTINGS = 'cache.json'
VERSION = 1
_SAME = dict(VideoReader='DecordInit')  # steps of the same pixels
_NOTES = ('made_with', )  # for people; not compared


def cache_key(filename: str, root: Optional[str]) -> str:
    """A video's path from the folder of the videos, in one spelling, so that
    the folder may move.

    Args:
        filename (str): Path as a dataset gives it.
        root (str, optional): ``data_prefix['video']``.
    """
    below = filename.removeprefix(osp.join(root, '')) if root else filename
    return posixpath.normpath(below.replace(os.sep, '/'))


def pipeline_identity(pipeline: Sequence[Mapping]) -> List[dict]:
    """What of a pipeline decides the pixels: without decoding once, which is
    exact, and threads. VideoReader gives the frames of DecordInit, whose name
    older caches have."""
    steps = json.loads(json.dumps([dict(step) for step in pipeline]))
    return [
        dict({k: v for k, v in step.items() if k != 'num_threads'},
             type=_SAME.get(step['type'], step['type'].removesuffix('Once')))
        for step in steps if step['type'] != 'RepeatFrames'
    ]


def differences(made: Mapping, wanted: Mapping) -> List[str]:
    """Where a cache's settings are not those wanted, in words."""
    found = []
    for name, value in wanted.items():
        value = json.loads(json.dumps(value))
        if name not in _NOTES and made.get(name) != value:
            found.append(f'{name} is {_short(made.get(name))} in the cache '
                         f'and {_short(value)} here')
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 400 else f'{text[:400]} ...'


class FrameCache:
    """Reads embeddings by the path of the video.

    Args:
        folder (str): That ``tools/cache_frames.py`` wrote.

    Raises:
        UserError: It holds no cache.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        path = Path(folder, SETTINGS)
        if not path.is_file():
            raise UserError(f'{folder} holds no frame embeddings (no '
                            f'{SETTINGS}); make them with tools/'
                            f'cache_frames.py CONFIG none --out {folder}')
        self.settings: Dict[str, Any] = _read(path)
        self.check(version=VERSION)
        self._arrays: Dict[str, np.ndarray] = {}
        self._places: Optional[Dict[str, Tuple[str, int]]] = None
        self._clashes: Dict[str, str] = {}

    def check(self, **wanted: Any) -> None:
        """Compare settings.

        Raises:
            UserError: One differs; the message names all that do.
        """
        found = differences(self.settings, wanted)
        if found:
            raise UserError(
                f'{self.folder} does not fit: ' + '; '.join(found) +
                '. Embed the frames anew with this config: tools/'
                'cache_frames.py CONFIG CHECKPOINT --out ANOTHER_FOLDER')

    @property
    def places(self) -> Dict[str, Tuple[str, int]]:
        """File and row by the path of each video.

        Raises:
            UserError: A file is damaged.
        """
        if self._places is None:
            self._places, sizes = {}, {}
            for path in sorted(Path(self.folder).glob('*.json')):
                if path.name != SETTINGS:
                    self._add(path, sizes)
        return self._places

    def _add(self, path: Path, sizes: Dict[str, int]) -> None:
        """The videos of one list."""
        listing = _read(path, 'paths', 'sizes')
        self._array(path.stem, len(listing['paths']))
        for row, (key, size) in enumerate(
                zip(listing['paths'], listing['sizes'])):
            if sizes.setdefault(key, size) != size:
                self._clashes[key] = (f'{self._places[key][0]} and '
                                      f'{path.stem}')
            self._places[key] = path.stem, row

    def check_holds(self, keys: Sequence[str], source: str) -> None:
        """Check that every video of a list is there.

        Args:
            keys (Sequence[str]): From :func:`cache_key`.
            source (str): The list, for the message.

        Raises:
            UserError: Some are not.
        """
        absent = [key for key in keys if key not in self.places]
        if absent:
            shown = ', '.join(absent[:5]) + (', ...' if absent[5:] else '')
            raise UserError(
                f'{self.folder} has no embeddings of {len(absent)} of the '
                f'{len(keys)} videos of {source}: {shown}. Embed that list '
                'too (tools/cache_frames.py goes on in the same folder)')
        twice = [key for key in keys if key in self._clashes]
        if twice:
            raise UserError(
                f'{self.folder} has two different videos called {twice[0]}, '
                f'from two folders (in {self._clashes[twice[0]]}): keep the '
                'embeddings of each folder of videos in a cache of its own')

    def __getitem__(self, key: str) -> np.ndarray:
        """Embeddings of a video, float32 [T, D]; a copy."""
        name, row = self.places[key]
        return np.array(self._array(name)[row], dtype=np.float32)

    def _array(self, name: str, rows: Optional[int] = None) -> np.ndarray:
        """Embeddings [N, T, D] of a list, from the disk as they are read."""
        if name not in self._arrays:
            path = Path(self.folder, f'{name}.npy')
            try:
                array = np.load(path, mmap_mode='r')
            except (OSError, ValueError) as error:
                raise UserError(f'{path} is damaged ({error}): delete it and '
                                f'{name}.json, and embed its list '
                                'anew') from error
            if rows is not None and len(array) != rows:
                raise UserError(f'{path} has {len(array)} rows, its .json '
                                f'{rows} videos: delete both, and embed the '
                                'list anew')
            self._arrays[name] = array
        return self._arrays[name]

    def __getstate__(self) -> dict:
        # Every process maps the files itself; pickled they would be read.
        return dict(self.__dict__, _arrays={})


def _read(path: Path, *names: str) -> Dict[str, Any]:
    """A JSON object of a cache that has all of these names."""
    found = read_json(path)
    if not isinstance(found, dict) or any(n not in found for n in names):
        wanted = f' with {" and ".join(names)}' if names else ''
        raise UserError(f'{path} is no object{wanted}: not a file of a cache, '
                        'or damaged; take it out of the folder')
    return found


class FrameCacheWriter:
    """Writes the embeddings of one list, and goes on where it was stopped.

    Args:
        folder (str): Made if it is not there.
        settings (dict): What the embeddings are made with; ``num_frames``
            (T), ``embed_dim`` (D) and ``dtype`` (float32 or float16) among
            them.
        ann_file (str): The list, after which the files are named.
        keys (Sequence[str]): From :func:`cache_key`, in order.
        sizes (Sequence[int], optional): Bytes of the videos' files, which
            tell videos of one name from two folders apart.

    Raises:
        UserError: The folder's embeddings were made with other settings.
    """

    EVERY = 256  # rows between two notes of how far it is

    def __init__(self, folder: str, settings: Mapping, ann_file: str,
                 keys: Sequence[str],
                 sizes: Optional[Sequence[int]] = None) -> None:
        self.folder, self.keys = Path(folder), list(keys)
        self.sizes = [0] * len(self.keys) if sizes is None else list(sizes)
        text = '\n'.join(f'{key}\t{size}'
                         for key, size in zip(self.keys, self.sizes))
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.name = f'{Path(ann_file).stem}-{digest[:12]}'
        self._head = dict(list=str(ann_file), sha256=digest)
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / SETTINGS).exists():
            FrameCache(folder).check(**settings)
        else:
            write_json(self.folder / SETTINGS, dict(settings))
        self.is_complete = self._path('.json').is_file()
        self.done = len(self.keys) if self.is_complete else 0
        if not self.is_complete:
            self._open(settings)

    def _path(self, ending: str) -> Path:
        return self.folder / f'{self.name}{ending}'

    def _open(self, settings: Mapping) -> None:
        rows, note = self._path('.npy.part'), self._path('.note.part')
        shape = (len(self.keys), settings['num_frames'],
                 settings['embed_dim'])
        if rows.is_file() and note.is_file() and _is_whole(rows):
            self.done = min(_read(note, 'done')['done'], len(self.keys))
        self._rows = np.lib.format.open_memmap(
            rows, 'r+' if self.done else 'w+', settings['dtype'],
            None if self.done else shape)
        if self._rows.shape != shape:
            raise UserError(f'{rows} is of another list; delete it')
        self._noted = self.done

    def append(self, rows: np.ndarray) -> None:
        """Write the next videos.

        Args:
            rows (np.ndarray): [n, T, D].

        Raises:
            UserError: A value is not finite in the cache's type.
        """
        with np.errstate(over='ignore'):  # told below
            kept = rows.astype(self._rows.dtype)
        good = np.isfinite(kept).all(axis=(1, 2))
        if not good.all():
            raise UserError(
                f'{self.keys[self.done + int(good.argmin())]}: its '
                f'embeddings are not finite in {self._rows.dtype}; check the '
                'checkpoint, or use --dtype float32')
        self._rows[self.done:self.done + len(rows)] = kept
        self.done += len(rows)
        if self.done - self._noted >= self.EVERY:
            self.note()

    def note(self) -> None:
        """Record how far it is, so that the work so far is kept."""
        self._rows.flush()
        write_json(self._path('.note.part'), dict(done=self.done))
        self._noted = self.done

    def finish(self) -> None:
        """Give the whole list its name."""
        if self.done != len(self.keys):
            raise RuntimeError(f'{self.done} of {len(self.keys)} videos')
        self._rows.flush()
        del self._rows
        os.replace(self._path('.npy.part'), self._path('.npy'))
        write_json(
            self._path('.json'),
            dict(self._head, paths=self.keys, sizes=self.sizes))
        self._path('.note.part').unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Whether an array's file is as long as its head says."""
    try:
        np.load(path, mmap_mode='r')
    except (OSError, ValueError):
        return False
    return True


def write_json(path: Path, data: Mapping) -> None:
    """Write a file at once or not at all."""
    part = path.with_name(path.name + '.tmp')
    part.write_text(json.dumps(data, indent=1), encoding='utf-8')
    os.replace(part, path)
