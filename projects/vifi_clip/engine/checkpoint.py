"""Loading checkpoints without running code, and writing them atomically."""
import os
import os.path as osp
import pickle
import tempfile
import zipfile
from typing import Any, Union

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

# What MMEngine's own checkpoints hold beside tensors and plain containers.
# All are inert: their unpickling sets attributes and allocates arrays.
_INERT = [
    HistoryBuffer, HistoryBuffer.min, HistoryBuffer.max, HistoryBuffer.mean,
    HistoryBuffer.current, np.ndarray, np.dtype,
    type(np.dtype('int64')),
    type(np.dtype('float32')),
    type(np.dtype('float64')), np._core.multiarray._reconstruct,
    np._core.multiarray.scalar
]


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
        ValueError: The file is damaged, or it wants to run code and
            ``trust`` is off.
    """
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path!r} does not exist.')
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file
        return load_file(path, device=str(map_location or 'cpu'))
    if _is_torchscript(path):
        return torch.jit.load(path, map_location=map_location).state_dict()
    try:
        with torch.serialization.safe_globals(_INERT):
            return torch.load(
                path, map_location=map_location, weights_only=not trust)
    except pickle.UnpicklingError as error:
        if 'weights_only' not in str(error):
            raise ValueError(f'{path} is not a readable checkpoint: '
                             f'{error}') from error
        raise ValueError(
            f'{path} is a pickle that wants to run code and was not loaded '
            f'({_wanted(error)}). If you trust where it comes from, say so '
            'with --trust.') from error
    except (EOFError, RuntimeError) as error:
        raise ValueError(f'{path} is damaged or no checkpoint: '
                         f'{error}') from error


def _is_torchscript(path: str) -> bool:
    """torch.save writes ``data.pkl``; torch.jit.save ``code/`` beside it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any('/code/' in name for name in archive.namelist())


def _wanted(error: Exception) -> str:
    """The one line of torch's long message that names the culprit."""
    lines = [line.strip() for line in str(error).splitlines()]
    named = [line for line in lines if 'GLOBAL' in line or 'Unsupported' in line]
    return (named or lines)[0].split('. ')[0]


def register_loader(trust: bool = False) -> None:
    """Make MMEngine load local files through :func:`load_checkpoint`.

    torch >= 2.6 loads with ``weights_only=True``, under which MMEngine's own
    checkpoints fail in MMEngine's own loader.

    Args:
        trust (bool): Allow pickles to run code, for this process.
    """

    def loader(filename, map_location=None, logger=None):
        return load_checkpoint(filename, map_location, trust)

    CheckpointLoader.register_scheme(prefixes='', loader=loader, force=True)


class AtomicLocalBackend(LocalBackend):
    """Files appear whole or not at all.

    Use it for checkpoints: ``CheckpointHook(backend_args=dict(
    backend='AtomicLocalBackend'))``. A run that is killed while it writes
    leaves the previous file as it was.
    """

    def put(self, obj: Union[bytes, memoryview], filepath: str) -> None:
        """Write bytes beside ``filepath``, then move them there."""
        folder = osp.dirname(osp.abspath(filepath))
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=folder, prefix=f'.{osp.basename(filepath)}.')
        try:
            with os.fdopen(handle, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, filepath)
        except BaseException:
            if osp.exists(temporary):
                os.remove(temporary)
            raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


register_backend('AtomicLocalBackend', AtomicLocalBackend, force=True)
register_loader()
