"""Checkpoint files: loaded without running code, written atomically.

A pickle is a program: it names functions and classes and calls them.
:func:`load_checkpoint` refuses a file that names more than tensors and plain
values, and :func:`load_weights` runs nothing of it.
"""
import io
import lzma
import os
import os.path as osp
import pickle
import textwrap
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Mapping, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import UserError
from ..files import write_bytes

Device = Union[str, torch.device, None]
# Weights that ship with the package: vifi-clip://small_world.
ASSET = 'vifi-clip://'
ASSETS = Path(__file__).parents[1] / 'assets'
TOKEN_TABLE = 'cls_head.text_classifier.text.token_embedding.weight'

# numpy scalars and arrays stand in metrics (best_score) and meta data. All are
# inert: unpickling them only allocates and copies.
_SAFE = [np.ndarray, np.dtype,
         *(type(np.dtype(kind)) for kind in ('int64', 'float32', 'float64')),
         np._core.multiarray._reconstruct, np._core.multiarray.scalar]
# What torch and zipfile raise on a file that is cut short or overwritten.
_DAMAGE = (EOFError, OSError, RuntimeError, SafetensorError,
           pickle.UnpicklingError, zipfile.BadZipFile)
# Zip archives, and pickles from protocol 2; safetensors has no such mark.
_STARTS = (b'PK', *(b'\x80' + bytes([i]) for i in range(2, 6)))


class ForeignObjectError(ValueError):
    """A checkpoint holds objects whose classes would have to run."""


def load_checkpoint(path: str, map_location: Device = None,
                    trust: bool = False) -> Any:
    """Return the content of a local checkpoint file: ``.safetensors``,
    anything that ``torch.save`` wrote, or the state dict of a TorchScript
    archive. FileNotFoundError if there is none, ForeignObjectError if it
    wants to run code without ``trust``, ValueError if it is damaged or no
    checkpoint."""
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path!r} does not exist.')
    try:
        return _read(path, map_location, trust)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # A trusted pickle runs its own code, whose errors are not ours.
        if trust and not isinstance(error, _DAMAGE):
            raise
        if trust or not isinstance(error, pickle.UnpicklingError):
            raise _damaged(path, error) from error
        # The part of torch's long message that names what is refused.
        names = [line.strip().split('. ')[0].rstrip('.')
                 for line in str(error).splitlines()
                 if 'GLOBAL' in line or 'Unsupported' in line]
        raise ForeignObjectError(
            f'{path} holds more than weights and plain values '
            f'({(names or [str(error)])[0]}), and a pickle can run code; '
            'give --trust if you trust where it comes from.') from error


def _damaged(path: str, error: Exception) -> ValueError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(f'{path} is damaged or no checkpoint: '
                      f'{textwrap.shorten(lines[0], 160)}')


def _read(path: str, map_location: Device, trust: bool) -> Any:
    if path.endswith('.safetensors'):
        return load_file(path, device=str(map_location or 'cpu'))
    with open(path, 'rb') as file:
        start = file.read(2)
    if start not in _STARTS:  # torch would ask for trust
        raise EOFError(f'it starts with {start!r}' if start else 'it is empty')
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch.jit.save writes code/ beside the data.pkl of torch.save.
            if any('/code/' in name for name in archive.namelist()):
                return torch.jit.load(
                    path, map_location=map_location).state_dict()
    with torch.serialization.safe_globals(_SAFE):
        return torch.load(
            path, map_location=map_location, weights_only=not trust)


def load_weights(path: str) -> Any:
    """Read a checkpoint, a file or web address, for its tensors and plain
    values alone; raises as :func:`load_checkpoint`. Objects that files of
    other projects hold, a config for example, become stand-ins
    (:class:`Inert`); nothing of the file is run."""
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except ForeignObjectError as refused:
        path = _download(path) if '://' in path else osp.expanduser(path)
        try:
            return torch.load(path, map_location='cpu', weights_only=False,
                              pickle_module=_INERT_PICKLE)
        except Exception as error:
            raise _damaged(path, error) from refused


def tensors_of(content: Any, path: str) -> Dict[str, torch.Tensor]:
    """Return the weights of a loaded file by their names, without the
    ``module.`` of a training loop: those of a dict of tensors and other
    things, or of one that holds a dict of tensors as ``state_dict`` or
    ``model``. ValueError if ``path`` holds no dict of named tensors."""
    state, part = content, ''
    if isinstance(content, Mapping):
        if 'state_dict' in content:
            state, part = content['state_dict'], ' as its state_dict'
        elif isinstance(content.get('model'), Mapping):
            state, part = content['model'], ' as its model'
    if not isinstance(state, Mapping):
        raise ValueError(f'{path} holds a {type(state).__name__}{part}, not '
                         'a dict of weights')
    for key, value in state.items():
        if not isinstance(key, str) or (part and not torch.is_tensor(value)):
            raise ValueError(f'{path} holds a dict{part} with {key!r}, a '
                             f'{type(value).__name__}: no weights by name')
    return {k.removeprefix('module.'): v
            for k, v in state.items() if torch.is_tensor(v)}


class Inert(dict):
    """Stand-in for an object whose class, whose name it has, is not run.

    What the pickle puts into a mapping is kept, so that a config whose class
    derives from dict can be read; all else is dropped.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __call__(self, *args, **kwargs) -> 'Inert':
        return Inert()

    def append(self, item: Any) -> None:
        """Drop an item of a list or set."""

    # An object's attributes are of no use without its class.
    __setstate__ = extend = add = append
    # A dict has neither, but the object may have been a key.
    __hash__, __eq__ = object.__hash__, object.__eq__


def _tensor(storage, offset, size, stride, *hooks) -> torch.Tensor:
    return torch._utils._rebuild_tensor(storage, offset, tuple(size), stride)


_REBUILDERS = {
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_parameter': lambda data, *rest: data,
    'torch.Size': torch.Size,
    'torch.device': torch.device,
    'collections.OrderedDict': OrderedDict,
    # bytes under protocol 2
    '_codecs.encode': lambda text, *rest: text.encode('latin1'),
    **{f'{module}.{kind.__name__}': kind
       for module in ('builtins', '__builtin__')  # Python 3's and 2's name
       for kind in (set, frozenset, list, dict, tuple, int, float, str)},
}


class InertUnpickler(pickle.Unpickler):
    """Unpickler that calls nothing but what rebuilds tensors and plain
    containers; torch itself rebuilds their storages."""

    def find_class(self, module: str, name: str) -> Any:
        path = f'{module}.{name}'
        if path in _REBUILDERS:
            # A new one each time: a pickle can set what it names.
            return partial(_REBUILDERS[path])
        value = vars(torch).get(name) if module == 'torch' else None
        return value if isinstance(value, torch.dtype) else type(
            path, (Inert, ), {})


# What torch.load asks of the pickle module that it is given.
_INERT_PICKLE = SimpleNamespace(
    __name__='inert',
    Unpickler=InertUnpickler,
    load=lambda file, **kwargs: InertUnpickler(file, **kwargs).load())


def _load_asset(url: str, map_location: Device) -> dict:
    """Read weights that ship with the package: numbers of 16 bits, and of the
    token embeddings the rows of words that its training used; the others are
    zero. See benchmarks/pack_weights.py."""
    path = ASSETS / f'{url.removeprefix(ASSET)}.pth.xz'
    if not path.is_file():
        names = ', '.join(ASSET + p.name.partition('.')[0]
                          for p in ASSETS.glob('*.pth.xz'))
        raise UserError(f'No weights {url} ship with the package; there are: '
                        f'{names or "none"}')
    content = torch.load(
        io.BytesIO(lzma.decompress(path.read_bytes())),
        map_location=map_location, weights_only=True)
    state = {k: v.float() for k, v in content['state_dict'].items()}
    table = state[TOKEN_TABLE].new_zeros(content['vocabulary'],
                                         state[TOKEN_TABLE].shape[1])
    if table.device.type != 'meta':
        table[content['token_rows']] = state[TOKEN_TABLE]
    state[TOKEN_TABLE] = table
    return dict(state_dict=state, meta=content['meta'])


def register_loader(trust: bool = False) -> None:
    """Make MMEngine load files, web addresses and shipped weights as
    :func:`load_checkpoint` does, with its ``trust``, in this process.

    torch >= 2.6 loads with ``weights_only=True``, under which MMEngine's own
    checkpoints fail in MMEngine's own loader; its loader of web addresses
    runs whatever code they hold.
    """

    def load_from_file(filename, map_location=None, logger=None):
        if filename.startswith(ASSET):
            return _load_asset(filename, map_location)
        path = _download(filename) if '://' in filename else filename
        content = load_checkpoint(path, map_location, trust)
        tensors_of(content, filename)  # as MMEngine takes for granted
        return content

    for prefix in '', 'http://', 'https://', ASSET:
        CheckpointLoader.register_scheme(prefix, load_from_file, force=True)


def _download(url: str) -> str:
    """Fetch the file of a web address into torch's cache."""
    path = osp.join(torch.hub.get_dir(), 'checkpoints',
                    osp.basename(urlparse(url).path))
    if get_local_rank() == 0 and not osp.exists(path):
        os.makedirs(osp.dirname(path), exist_ok=True)
        torch.hub.download_url_to_file(url, path)
    barrier()
    return path


class AtomicLocalBackend(LocalBackend):
    """Files appear whole or not at all, see
    :func:`projects.vifi_clip.files.write_bytes`; for checkpoints:
    ``CheckpointHook(backend_args=dict(backend='AtomicLocalBackend'))``."""

    def put(self, obj: Union[bytes, memoryview], filepath: str) -> None:
        write_bytes(filepath, obj)


register_backend('AtomicLocalBackend', AtomicLocalBackend, force=True)
register_loader()
