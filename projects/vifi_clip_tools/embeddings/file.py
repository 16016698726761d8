"""Files of video embeddings: what ``vifi-clip embed`` writes."""
import io
import json
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import numpy as np

from projects.vifi_clip.errors import need
from projects.vifi_clip.files import write_bytes
from .options import SUFFIXES

_META = b'vifi_clip'  # key of the parquet file's own metadata


@dataclass
class Embeddings:
    """Embeddings of N videos."""
    names: List[str]  # N, as the list of videos has them
    embeddings: np.ndarray  # float32 [N, D]
    labels: Optional[np.ndarray] = None  # int64 [N], if they are known
    class_names: Optional[List[str]] = None  # of labels 0..K-1
    # videos that could not be read: index in the whole list, video, error
    failed: List[Dict[str, Any]] = field(default_factory=list)
    # what made them: see apis.identity.record
    record: Dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: List[int]) -> 'Embeddings':
        """Return some of the videos, in the order of the indices."""
        return Embeddings(
            [self.names[i] for i in indices], self.embeddings[indices],
            None if self.labels is None else self.labels[indices],
            self.class_names, self.failed, self.record)


def write_embeddings(path: str, embeddings: Embeddings) -> None:
    """Write a ``.npz`` or ``.parquet`` file, whole or not at all."""
    out = io.BytesIO()
    (_save_parquet if _is_parquet(path) else _save_npz)(out, embeddings)
    write_bytes(path, out.getbuffer())


def read_embeddings(path: str) -> Embeddings:
    """Read a file; nothing in it is run.

    It is a ``.npz`` file with ``names`` [N] and ``embeddings`` [N, D], and
    maybe ``labels`` [N] and ``class_names`` [K]; or a ``.parquet`` file with
    columns ``name``, ``embedding`` and maybe ``label``.
    """
    if not path.lower().endswith(SUFFIXES):
        raise ValueError(f'{path}: embeddings are read from '
                         f'{" or ".join(SUFFIXES)} files')
    if not osp.isfile(path):
        raise FileNotFoundError(f'No such file of embeddings: {path}')
    if _is_parquet(path):
        need('pyarrow', 'search')
    try:
        embeddings = (_load_parquet if _is_parquet(path) else
                      _load_npz)(path)
        _check_notes(embeddings)
    except Exception as error:  # as many kinds as there are broken files
        raise ValueError(f'{path} is damaged, or not written by `vifi-clip '
                         f'embed` ({type(error).__name__}: '
                         f'{error})') from error
    _check(embeddings, path)
    embeddings.embeddings = np.ascontiguousarray(embeddings.embeddings,
                                                 np.float32)
    return embeddings


def _is_parquet(path: str) -> bool:
    return path.lower().endswith('.parquet')


def _save_npz(out: io.BytesIO, file: Embeddings) -> None:
    arrays = dict(names=np.array(file.names, dtype=np.str_),
                  embeddings=file.embeddings,
                  failed=np.array(json.dumps(file.failed)),
                  record=np.array(json.dumps(file.record)))
    if file.labels is not None:
        arrays['labels'] = file.labels
    if file.class_names is not None:
        arrays['class_names'] = np.array(file.class_names, dtype=np.str_)
    np.savez(out, **arrays)


def _load_npz(path: str) -> Embeddings:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    classes = arrays.get('class_names')
    return Embeddings(
        [str(name) for name in np.atleast_1d(arrays['names'])],
        arrays['embeddings'], arrays.get('labels'),
        None if classes is None else [str(c) for c in np.atleast_1d(classes)],
        json.loads(str(arrays.get('failed', '[]'))),
        json.loads(str(arrays.get('record', '{}'))))


def _save_parquet(out: io.BytesIO, file: Embeddings) -> None:
    pa = need('pyarrow', 'search')
    columns = dict(name=pa.array(file.names, pa.string()))
    if file.labels is not None:
        columns['label'] = pa.array(file.labels, pa.int64())
    columns['embedding'] = pa.FixedSizeListArray.from_arrays(
        pa.array(file.embeddings.reshape(-1), pa.float32()),
        file.embeddings.shape[1])
    notes = dict(class_names=file.class_names, failed=file.failed,
                 record=file.record)
    need('pyarrow.parquet', 'search').write_table(
        pa.table(columns).replace_schema_metadata({_META: json.dumps(notes)}),
        out)


def _load_parquet(path: str) -> Embeddings:
    # Not read_table(path): that would look for partitions in the path.
    with need('pyarrow.parquet', 'search').ParquetFile(path) as file:
        table = file.read()
    notes = json.loads((table.schema.metadata or {}).get(_META, b'{}'))
    vectors = []
    for chunk in table['embedding'].chunks:
        size = getattr(chunk.type, 'list_size', None)
        if size is None:  # a list may have any length: another tool's file
            vectors.append(np.array(chunk.to_pylist(), np.float32))
        else:
            vectors.append(chunk.flatten().to_numpy(
                zero_copy_only=False).reshape(-1, size))
    return Embeddings(
        [str(name) for name in table['name'].to_pylist()],
        np.concatenate(vectors),
        table['label'].to_numpy() if 'label' in table.column_names else None,
        notes.get('class_names'), notes.get('failed') or [],
        notes.get('record') or {})


def _check_notes(file: Embeddings) -> None:
    """Check what a file says in JSON, by any exception."""
    whole = len(file) + len(file.failed)
    if type(file.record) is not dict or not all(
            type(failed['index']) is int and 0 <= failed['index'] < whole
            for failed in file.failed):
        raise ValueError(f'record={file.record!r:.100} '
                         f'failed={file.failed!r:.100}')


def _check(file: Embeddings, path: str) -> None:
    """Check shapes and kinds that all who read a file rely on."""
    vectors, labels, classes = file.embeddings, file.labels, file.class_names
    if vectors.ndim != 2 or len(vectors) != len(file.names) or (
            vectors.dtype.kind != 'f'):
        raise ValueError(
            f'{path}: {len(file.names)} names and {vectors.dtype} embeddings '
            f'{list(vectors.shape)}; floats [N, D] are needed')
    if not np.isfinite(vectors).all():
        raise ValueError(f'{path} has an embedding that is not finite; embed '
                         'the videos again')
    if labels is None:
        return
    if labels.shape != (len(vectors), ) or labels.dtype.kind not in 'iu':
        raise ValueError(f'{path}: {labels.dtype} labels '
                         f'{list(labels.shape)}; integers [N] are needed')
    if classes is not None and not set(labels) <= set(range(len(classes))):
        raise ValueError(f'{path}: labels from {labels.min()} to '
                         f'{labels.max()} and {len(classes)} class names')
