"""Files of video embeddings: what ``vifi-clip embed`` writes."""
import io
import json
import os.path as osp
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import numpy as np

from projects.vifi_clip.errors import need

SUFFIXES = ('.npz', '.parquet')
_NEEDED = ('names', 'embeddings')
_META = b'vifi_clip'  # key of the parquet file's own metadata
_DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile,
           zlib.error)


@dataclass
class Embeddings:
    """Embeddings of N videos.

    Args:
        names (list[str]): N names, as the list of videos has them.
        embeddings (np.ndarray): float32 [N, D].
        labels (np.ndarray, optional): int64 [N]; None if they are not known.
        class_names (list[str], optional): Names of labels 0..K-1.
        failed (list[dict]): Videos that could not be read, each with
            ``index`` (in the whole list), ``video`` and ``error``.
        record (dict): What made them: model, weights and settings.
    """
    names: List[str]
    embeddings: np.ndarray
    labels: Optional[np.ndarray] = None
    class_names: Optional[List[str]] = None
    failed: List[Dict[str, Any]] = field(default_factory=list)
    record: Dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: List[int]) -> 'Embeddings':
        """Some of the videos, in the order of the indices."""
        return Embeddings(
            [self.names[i] for i in indices], self.embeddings[indices],
            None if self.labels is None else self.labels[indices],
            self.class_names, self.failed, self.record)


def write_embeddings(path: str, found: Embeddings) -> None:
    """Write a file, whole or not at all.

    Args:
        path (str): ``.npz`` or ``.parquet`` file; replaced if it exists.
        found (Embeddings): What to write.

    Raises:
        UserError: A ``.parquet`` file without pyarrow.
        ValueError: A name that is no text, in a ``.parquet`` file.
    """
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    pack = _pack_parquet if _is_parquet(path) else _pack_npz
    AtomicLocalBackend().put(pack(found), path)


def read_embeddings(path: str) -> Embeddings:
    """Read a file; nothing in it is run.

    Args:
        path (str): ``.npz`` file with ``names`` [N] and ``embeddings``
            [N, D], and maybe ``labels`` [N] and ``class_names`` [K]; or a
            ``.parquet`` file with columns ``name``, ``embedding`` and maybe
            ``label``.

    Returns:
        Embeddings: Its content.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or no file of embeddings.
        UserError: A ``.parquet`` file without pyarrow.
    """
    if not path.lower().endswith(SUFFIXES):
        raise ValueError(f'{path}: embeddings are read from '
                         f'{" or ".join(SUFFIXES)} files')
    if not osp.isfile(path):
        raise FileNotFoundError(f'No such file of embeddings: {path}')
    unpack = _unpack_parquet if _is_parquet(path) else _unpack_npz
    found = unpack(path)
    _check(found, path)
    found.embeddings = np.ascontiguousarray(found.embeddings, np.float32)
    return found


def _is_parquet(path: str) -> bool:
    return path.lower().endswith('.parquet')


def _pack_npz(found: Embeddings) -> memoryview:
    arrays = dict(names=np.array(found.names, dtype=np.str_),
                  embeddings=found.embeddings,
                  failed=np.array(json.dumps(found.failed)),
                  record=np.array(json.dumps(found.record)))
    if found.labels is not None:
        arrays['labels'] = found.labels
    if found.class_names is not None:
        arrays['class_names'] = np.array(found.class_names, dtype=np.str_)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getbuffer()


def _unpack_npz(path: str) -> Embeddings:
    try:
        # What is no zip file, numpy would take for a pickle or one array.
        zipfile.ZipFile(path).close()
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _DAMAGE as error:
        raise ValueError(f'{path} is damaged, or no .npz file of arrays '
                         f'({_first_line(error)})') from error
    lacks = [name for name in _NEEDED if name not in arrays]
    if lacks:
        holds = ', '.join(sorted(arrays)[:6]) or 'nothing'
        raise ValueError(f'{path} is no file of embeddings: it has no '
                         f'{" and no ".join(lacks)} (it holds {holds}); '
                         '`vifi-clip embed` writes one')
    names, classes = arrays['names'], arrays.get('class_names')
    return Embeddings(
        [str(name) for name in np.atleast_1d(names)], arrays['embeddings'],
        arrays.get('labels'),
        None if classes is None else [str(c) for c in np.atleast_1d(classes)],
        _from_json(arrays.get('failed'), [], path),
        _from_json(arrays.get('record'), {}, path))


def _from_json(text: Any, default: Any, path: str) -> Any:
    if text is None:
        return default
    try:
        found = json.loads(str(text))
    except ValueError as error:
        raise ValueError(f'{path} is damaged: its notes are no JSON '
                         f'({error})') from error
    return found if isinstance(found, type(default)) else default


def _pack_parquet(found: Embeddings) -> memoryview:
    pa = need('pyarrow', 'search')
    parquet = need('pyarrow.parquet', 'search')
    size = found.embeddings.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(found.embeddings.reshape(-1), pa.float32()), size)
    try:
        columns = dict(name=pa.array(found.names, pa.string()))
    except UnicodeEncodeError as error:
        raise ValueError(f'the name {error.object!r} is no valid text, which '
                         'a .parquet file needs; write an .npz file, or '
                         'rename the video') from error
    if found.labels is not None:
        columns['label'] = pa.array(found.labels, pa.int64())
    columns['embedding'] = vectors
    notes = dict(class_names=found.class_names, failed=found.failed,
                 record=found.record)
    table = pa.table(columns).replace_schema_metadata(
        {_META: json.dumps(notes)})
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getbuffer()


def _unpack_parquet(path: str) -> Embeddings:
    pa = need('pyarrow', 'search')
    parquet = need('pyarrow.parquet', 'search')
    try:
        # Not read_table(path): that would look for partitions in the path.
        with parquet.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, *_DAMAGE) as error:
        raise ValueError(f'{path} is damaged, or no .parquet file '
                         f'({_first_line(error)})') from error
    lacks = [c for c in ('name', 'embedding') if c not in table.column_names]
    if lacks:
        raise ValueError(f'{path} is no file of embeddings: it has no column '
                         f'{" and no ".join(lacks)}; `vifi-clip embed` '
                         'writes one')
    notes = (table.schema.metadata or {}).get(_META)
    notes = _from_json(None if notes is None else notes.decode(), {}, path)
    try:
        vectors = np.concatenate(
            [_vectors(chunk) for chunk in table['embedding'].chunks])
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f'{path}: its embeddings are no vectors of one '
                         'length') from error
    labels = None
    if 'label' in table.column_names:
        labels = table['label'].to_numpy()
    return Embeddings([str(n) for n in table['name'].to_pylist()],
                      vectors, labels, notes.get('class_names'),
                      notes.get('failed') or [], notes.get('record') or {})


def _vectors(chunk: Any) -> np.ndarray:
    """[n, D] of a column of lists."""
    size = getattr(chunk.type, 'list_size', None)
    if size is None:  # a list may have any length: another tool's file
        return np.array(chunk.to_pylist(), np.float32)
    return chunk.flatten().to_numpy(zero_copy_only=False).reshape(
        len(chunk), size)


def _check(found: Embeddings, path: str) -> None:
    """Shapes and kinds that all who read a file can rely on."""
    vectors, labels = found.embeddings, found.labels
    if vectors.ndim != 2 or len(vectors) != len(found.names) or (
            vectors.dtype.kind != 'f'):
        raise ValueError(
            f'{path} is no file of embeddings: {len(found.names)} names, and '
            f'embeddings of shape {list(vectors.shape)} and type '
            f'{vectors.dtype}; [N, D] floats are needed')
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ValueError(f'{path}: the embedding of {found.names[bad[0]]} is '
                         'not finite; embed that video anew')
    if labels is None:
        return
    if labels.shape != (len(vectors), ) or labels.dtype.kind not in 'iu':
        raise ValueError(f'{path}: labels of shape {list(labels.shape)} and '
                         f'type {labels.dtype}; N whole numbers are needed')
    known = found.class_names
    if known is not None and len(labels) and not (
            0 <= labels.min() and labels.max() < len(known)):
        raise ValueError(f'{path}: labels from {labels.min()} to '
                         f'{labels.max()} and {len(known)} class names')


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
