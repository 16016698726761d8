"""Loading checkpoints without running code, and writing them atomically."""
import os
import os.path as osp
import pickle
import textwrap
import zipfile
from typing import Any, Mapping, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError
from safetensors.torch import load_file

from .assets import ASSET, load_asset
from .inert_pickle import load_inert

# numpy scalars and arrays stand in metrics (best_score) and meta data. All are
# inert: unpickling them only allocates and copies.
_INERT = [
    np.ndarray, np.dtype,
    type(np.dtype('int64')),
    type(np.dtype('float32')),
    type(np.dtype('float64')), np._core.multiarray._reconstruct,
    np._core.multiarray.scalar
]
# What torch and zipfile raise on a file that is cut short or overwritten.
_DAMAGE = (EOFError, OSError, RuntimeError, SafetensorError,
           pickle.UnpicklingError, zipfile.BadZipFile)
_PICKLE_STARTS = tuple(b'\x80' + bytes([i]) for i in range(2, 6))


class ForeignObjectError(ValueError):
    """A checkpoint holds objects whose classes would have to run."""


def load_checkpoint(path: str,
                    map_location: Union[str, torch.device, None] = None,
                    trust: bool = False) -> Any:
    """Read a local checkpoint file.

    Args:
        path (str): TorchScript archive, ``.safetensors``, or anything that
            ``torch.save`` wrote.
        map_location (str | torch.device, optional): As in ``torch.load``.
        trust (bool): Allow a pickle to run code. Defaults to False.

    Returns:
        The file's content; a TorchScript archive's state dict.

    Raises:
        FileNotFoundError: There is no such file.
        ForeignObjectError: It wants to run code and ``trust`` is off.
        ValueError: The file is damaged or no checkpoint.
    """
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path!r} does not exist.')
    _check_magic(path)
    try:
        return _read(path, map_location, trust)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # A trusted pickle runs its own code, whose errors are not ours.
        if trust and not isinstance(error, _DAMAGE):
            raise
        if not trust and isinstance(error, pickle.UnpicklingError):
            raise ForeignObjectError(
                f'{path} holds more than weights and plain values '
                f'({_culprit(error)}) and was not loaded, since a pickle can '
                'run code. If you trust where it comes from, say so with '
                '--trust.') from error
        raise ValueError(f'{path} is damaged or no checkpoint: '
                         f'{_first_line(error)}') from error


def load_weights(path: str) -> Any:
    """Read a checkpoint for its tensors and plain values alone.

    Files of other projects hold objects too, a config for example. These
    become placeholders (:class:`~.inert_pickle.Inert`); nothing of the file
    is run, whatever it asks for.

    Args:
        path (str): A file or web address; see :func:`load_checkpoint`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or no checkpoint.
    """
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except ForeignObjectError as refused:
        if '://' in path:
            path = _download(path)
        try:
            return load_inert(osp.expanduser(path))
        except Exception as error:
            raise ValueError(f'{path} is damaged or no checkpoint: '
                             f'{_first_line(error)}') from refused


def _check_magic(path: str) -> None:
    """Refuse what torch's unpickler would stumble over in odd ways."""
    with open(path, 'rb') as file:
        start = file.read(2)
    # zip archives and pickles from protocol 2; safetensors has no magic
    if not start:
        raise ValueError(f'{path} is damaged or no checkpoint: it is empty')
    known = start == b'PK' or start in _PICKLE_STARTS
    if not known and not path.endswith('.safetensors'):
        raise ValueError(f'{path} is damaged or no checkpoint: it starts '
                         f'with {start!r}')


def _read(path: str, map_location: Union[str, torch.device, None],
          trust: bool) -> Any:
    if path.endswith('.safetensors'):
        return load_file(path, device=str(map_location or 'cpu'))
    if _is_torchscript(path):
        return torch.jit.load(path, map_location=map_location).state_dict()
    with torch.serialization.safe_globals(_INERT):
        return torch.load(
            path, map_location=map_location, weights_only=not trust)


def _is_torchscript(path: str) -> bool:
    """torch.save writes ``data.pkl``; torch.jit.save ``code/`` beside it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any('/code/' in name for name in archive.namelist())


def _culprit(error: Exception) -> str:
    """The part of torch's long message that names what is not allowed."""
    for line in str(error).splitlines():
        if 'GLOBAL' in line or 'Unsupported' in line:
            return line.strip().split('. ')[0].rstrip('.')
    return _first_line(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0], 160)


def register_loader(trust: bool = False) -> None:
    """Make MMEngine load files and web addresses as
    :func:`load_checkpoint` does.

    torch >= 2.6 loads with ``weights_only=True``, under which MMEngine's own
    checkpoints fail in MMEngine's own loader; its loader of web addresses
    runs whatever code they hold.

    Args:
        trust (bool): Allow pickles to run code, for this process.
    """

    # MMEngine logs what follows 'load_from_' in these names.
    def load_from_file(filename, map_location=None, logger=None):
        return _checked(
            load_checkpoint(filename, map_location, trust), filename)

    def load_from_web(filename, map_location=None, logger=None):
        return _checked(
            load_checkpoint(_download(filename), map_location, trust),
            filename)

    def load_from_package(filename, map_location=None, logger=None):
        return load_asset(filename[len(ASSET):], map_location)

    register = CheckpointLoader.register_scheme
    register(prefixes=ASSET, loader=load_from_package, force=True)
    register(prefixes='', loader=load_from_file, force=True)
    register(
        prefixes=('http://', 'https://'), loader=load_from_web, force=True)


def _checked(content: Any, path: str) -> Any:
    """What MMEngine takes for granted of a checkpoint."""
    state, place = content, ''
    if isinstance(content, dict) and 'state_dict' in content:
        state, place = content['state_dict'], ' as its state_dict'
    if not isinstance(state, Mapping):
        raise ValueError(f'{path} holds a {type(state).__name__}{place}, not '
                         'a dict of weights.')
    odd = next((key for key in state if not isinstance(key, str)), None)
    if odd is not None:
        raise ValueError(f'{path} holds a dict{place} with the key {odd!r}; '
                         'names of weights are text.')
    if place and state and not any(map(torch.is_tensor, state.values())):
        kind = type(next(iter(state.values()))).__name__
        raise ValueError(f'{path} holds no weight{place}, but a {kind}.')
    return content


def _download(url: str) -> str:
    """The file of a web address, kept in torch's cache."""
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlparse(url).path))
    if get_local_rank() == 0 and not osp.exists(path):
        os.makedirs(folder, exist_ok=True)
        torch.hub.download_url_to_file(url, path)
    barrier()
    return path


class AtomicLocalBackend(LocalBackend):
    """Files appear whole or not at all.

    Use it for checkpoints: ``CheckpointHook(backend_args=dict(
    backend='AtomicLocalBackend'))``. A run that is killed while it writes
    leaves the previous file as it was.
    """

    def put(self, obj: Union[bytes, memoryview], filepath: str) -> None:
        """Write bytes beside ``filepath``, then move them there."""
        folder, name = osp.split(osp.abspath(filepath))
        os.makedirs(folder, exist_ok=True)
        # One name, so that what a killed run left is written over. Only one
        # process writes checkpoints.
        temporary = osp.join(folder, f'.{name}.tmp')
        try:
            with open(temporary, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, filepath)
        except BaseException:
            if osp.exists(temporary):
                os.remove(temporary)
            raise


register_backend('AtomicLocalBackend', AtomicLocalBackend, force=True)
register_loader()
