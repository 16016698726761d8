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
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from mmaction.registry import DATASETS

from ..errors import UserError
from ..files import read_json, write_json
from .video_dataset import CheckedVideoDataset

SETTINGS = 'cache.json'
VERSION = 1


def cache_key(filename: str, root: Optional[str]) -> str:
    """Return a video's path below the folder of the videos, which may move
    (``data_prefix['video']``)."""
    below = filename.removeprefix(osp.join(root, '')) if root else filename
    return posixpath.normpath(below.replace(os.sep, '/'))


def pipeline_identity(pipeline: Sequence[Mapping]) -> List[dict]:
    """Return what of a pipeline decides the pixels.

    Without decoding once, which is exact, and threads. decord's frames are
    another reader's: of some files it returns wrong ones.
    """
    steps = json.loads(json.dumps([dict(step) for step in pipeline]))
    for step in steps:
        step.pop('num_threads', None)
        step['type'] = step['type'].removesuffix('Once')
    return [step for step in steps if step['type'] != 'RepeatFrames']


class FrameCache:
    """Reads the embeddings of ``vifi-clip cache-frames`` by the path of the
    video; UserError where the folder holds no cache."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        path = Path(folder, SETTINGS)
        if not path.is_file():
            raise UserError(f'{folder} holds no frame embeddings (no '
                            f'{SETTINGS}); make them with vifi-clip '
                            f'cache-frames CONFIG none --out {folder}')
        self.settings = _read(path)
        self.check(version=VERSION)
        self._arrays: Dict[str, np.ndarray] = {}
        self._clashes: Dict[str, str] = {}

    def check(self, **settings: Any) -> None:
        """Compare settings, but for ``made_with``, which is for people; a
        UserError names all that differ."""
        differences = [
            f'{name} is {json.dumps(self.settings.get(name)):.400} in the '
            f'cache and {json.dumps(value):.400} here'
            for name, value in json.loads(json.dumps(settings)).items()
            if name != 'made_with' and self.settings.get(name) != value]
        if differences:
            raise UserError(
                f'{self.folder} does not fit: ' + '; '.join(differences) +
                '. Embed the frames again with this config: vifi-clip '
                'cache-frames CONFIG CHECKPOINT --out ANOTHER_FOLDER')

    @cached_property
    def places(self) -> Dict[str, Tuple[str, int]]:
        """File and row by the path of each video; read when needed."""
        places, sizes = {}, {}
        for path in sorted(Path(self.folder).glob('*.json')):
            if path.name == SETTINGS:
                continue
            listing = _read(path, 'paths', 'sizes')
            self._array(path.stem, len(listing['paths']))
            pairs = zip(listing['paths'], listing['sizes'])
            for row, (key, size) in enumerate(pairs):
                if sizes.setdefault(key, size) != size:
                    self._clashes[key] = f'{places[key][0]} and {path.stem}'
                places[key] = path.stem, row
        return places

    def check_holds(self, keys: Sequence[str], source: str) -> None:
        """Refuse a list whose videos, by :func:`cache_key`, are not all
        there, or are others of the same names."""
        absent = [key for key in keys if key not in self.places]
        if absent:
            shown = ', '.join(absent[:5]) + (', ...' if absent[5:] else '')
            raise UserError(
                f'{self.folder} has no embeddings of {len(absent)} of the '
                f'{len(keys)} videos of {source}: {shown}. Embed that list '
                'too (vifi-clip cache-frames adds to the same folder)')
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
                if rows not in (None, len(array)):
                    raise ValueError(f'{len(array)} rows of {rows} videos')
                self._arrays[name] = array
            except (OSError, ValueError) as error:
                raise UserError(f'{path} is damaged ({error}): delete it and '
                                f'{name}.json, and embed its list '
                                'again') from error
        return self._arrays[name]

    def __getstate__(self) -> dict:
        # Every process maps the files itself; pickled they would be read.
        return dict(self.__dict__, _arrays={})


def _read(path: Path, *names: str) -> Dict[str, Any]:
    """Read a JSON object of a cache that has all of these names."""
    value = read_json(path)
    if not isinstance(value, dict) or not set(names) <= set(value):
        raise UserError(f'{path} is not an object ({", ".join(names)}): not a '
                        'file of a cache, or damaged; remove it from the '
                        'folder')
    return value


class FrameCacheWriter:
    """Writes the embeddings of one list, and goes on where it was stopped.

    The folder is made if it is not there; UserError if its embeddings were
    made with other settings, which hold ``num_frames`` (T), ``embed_dim`` (D)
    and ``dtype``. Files are named after the list (``ann_file``). ``keys`` are
    from :func:`cache_key`, in order; ``sizes``, the bytes of the videos'
    files, tell videos of one name from two folders apart.
    """

    EVERY = 256  # rows between two notes of how far it is

    def __init__(self, folder: str, settings: Mapping, ann_file: str,
                 keys: Sequence[str], sizes: Sequence[int]) -> None:
        self.folder = Path(folder)
        self.keys, self.sizes = list(keys), list(sizes)
        text = '\n'.join(f'{key}\t{size}' for key, size in zip(keys, sizes))
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.name = f'{Path(ann_file).stem}-{digest[:12]}'
        self._head = dict(list=str(ann_file), sha256=digest)
        if (self.folder / SETTINGS).exists():
            FrameCache(folder).check(**settings)
        else:
            write_json(self.folder / SETTINGS, dict(settings))
        self.is_complete = self._path('.json').is_file()
        if self.is_complete:
            self.done = len(self.keys)
            return
        rows = self._path('.npy.part')
        try:
            np.load(rows, mmap_mode='r')  # 'r+' would fill up what is cut
            self.done = _read(self._path('.note.part'), 'done')['done']
        except (OSError, ValueError):
            self.done = 0
        self._noted = self.done
        self._rows = np.lib.format.open_memmap(
            rows, 'r+' if self.done else 'w+', settings['dtype'],
            (len(self.keys), settings['num_frames'], settings['embed_dim']))

    def _path(self, ending: str) -> Path:
        return self.folder / f'{self.name}{ending}'

    def append(self, rows: np.ndarray) -> None:
        """Write the next videos, [n, T, D]; refuse what is not finite."""
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
        write_json(self._path('.json'),
                   dict(self._head, paths=self.keys, sizes=self.sizes))
        self._path('.note.part').unlink(missing_ok=True)


@DATASETS.register_module()
class CachedVideoDataset(CheckedVideoDataset):
    """CheckedVideoDataset that reads embeddings instead of videos.

    For training behind an image tower that does not change, without
    augmentation. A sample's ``inputs`` are [T, D], for the backbone
    ``FrameEmbeddings``. Any list will do whose videos are in the cache, with
    any classes; the videos need not be there.

    Args:
        ann_file (str), **kwargs: As CheckedVideoDataset.
        pipeline (list): Behind the embeddings, which it finds as ``imgs``.
            Defaults to PackActionInputs alone.
        cache (str): Folder that ``vifi-clip cache-frames`` wrote.
        source_pipeline (list[dict], optional): What the frames must have
            been read by. Not checked by default.

    Raises:
        UserError: There is no cache, it was made by another pipeline, or it
            lacks videos of the list.
    """

    def __init__(self, ann_file: str,
                 pipeline: Sequence = (dict(type='PackActionInputs'), ), *,
                 cache: str,
                 source_pipeline: Optional[Sequence[Mapping]] = None,
                 **kwargs) -> None:
        self.cache = FrameCache(cache)
        if source_pipeline is not None:
            self.cache.check(pipeline=pipeline_identity(source_pipeline))
        super().__init__(ann_file, list(pipeline), **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read ``cache_key`` of each video too."""
        videos = super().load_data_list()
        root = self.data_prefix.get('video')
        for video in videos:
            video['cache_key'] = cache_key(video['filename'], root)
        self.cache.check_holds([video['cache_key'] for video in videos],
                               self.ann_file)
        return videos

    def _on_local_disk(self) -> bool:
        return False  # the videos are not looked for

    def _run(self, idx: int, source: Optional[str] = None) -> Any:
        info = self.get_data_info(idx)
        info['imgs'] = self.cache[info['cache_key']]
        return self.pipeline(info)
