"""Checkpoint files: loaded without running code, written atomically.

A pickle is a program, and TorchScript has code that runs as it is loaded.
:func:`load_checkpoint` refuses a file that names more than tensors and plain
values, and :func:`load_weights` runs nothing of it.
"""
import io
import json
import logging
import lzma
import os
import os.path as osp
import textwrap
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple, Union
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError
from ..files import write_bytes
from ..network import unreachable
from . import archives
from .folders import weight_files
from .unpickling import Inert, Refused

Device = Union[str, torch.device, None]
KEY = 'vifi_clip'  # of settings, in a checkpoint's meta (see settings.py)
# Weights that ship with the package: vifi-clip://small_world.
ASSET = 'vifi-clip://'
ASSETS = Path(__file__).parents[1] / 'assets'
TOKEN_TABLE = 'cls_head.text_classifier.text.token_embedding.weight'
_HEADER = 2**21  # bytes, of a safetensors file
# Ends of names that are those of weights, whatever the model.
_WEIGHTS = ('weight', 'bias', 'scale', 'proj', 'embedding', 'tokens')
_SAVE = 'save the weights alone: torch.save(model.state_dict(), FILE)'
# What our own trainings save, for auxiliary losses to go on.
_OF_TRAINING = {'auxiliary_state_dict', 'teacher_state_dict'}


class ForeignObjectError(ValueError):
    """A checkpoint holds what would have to run."""


def load_checkpoint(path: str, map_location: Device = None,
                    trust: bool = False, inert: bool = False) -> Any:
    """Return the content of a local checkpoint file: ``.safetensors``,
    anything that ``torch.save`` wrote, or the state dict of a TorchScript
    archive. FileNotFoundError if there is none, ForeignObjectError if it
    wants to run code without ``trust``, ValueError if it is damaged or no
    checkpoint. ``inert`` has objects that are not run (:class:`Inert`) in
    the place of an error."""
    path, device = osp.expanduser(path), torch.device(map_location or 'cpu')
    if not osp.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path!r} does not exist.')
    try:
        if path.endswith('.safetensors'):
            return _load_safetensors(path, device)
        content, names = archives.read(path, device, trust, inert)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of a pickle, a zip archive, of torch
        raise _damaged(path, error) from error
    if not names:
        return content
    if not trust:
        raise ForeignObjectError(
            f'{path} holds more than weights and plain values ({names[0]}), '
            'and would have to run code; give --trust if you trust its '
            f'source, or {_SAVE}')
    content = torch.load(path, map_location=device, weights_only=False)
    return content.state_dict() if isinstance(content, nn.Module) else content


def _damaged(path: str, error: Exception) -> ValueError:
    lines = str(error).strip().splitlines() or ['it is cut short']
    reason = textwrap.shorten(lines[0], 160)
    if not isinstance(error, (Refused, EOFError, OSError)):
        reason = f'{type(error).__name__}: {reason}'
    return ValueError(f'{path} is damaged or not a checkpoint: {reason}')


def _load_safetensors(path: str, device: torch.device) -> Dict[str, Any]:
    with open(path, 'rb') as file:
        if int.from_bytes(file.read(8), 'little') > _HEADER:
            raise EOFError('it is cut short, or lists too many tensors')
    # It reads for no 'meta'.
    weights = {key: value.to(device)
               for key, value in load_file(path).items()}
    with safe_open(path, 'pt') as opened:
        settings = (opened.metadata() or {}).get(KEY)
    return weights if settings is None else dict(
        state_dict=weights, meta={KEY: json.loads(settings)})


def load_weights(path: str) -> Any:
    """Read a checkpoint for its tensors and plain values alone: a file, a web
    address, or a folder of transformers. Raises as :func:`load_checkpoint`.
    Objects that files of other projects hold, a config for example, become
    stand-ins (:class:`Inert`); nothing of the file is run."""
    if osp.isdir(path):
        return {key: value for part in weight_files(path)
                for key, value in tensors_of(load_weights(part)).items()}
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except ForeignObjectError:
        return _load(path, 'cpu', inert=True)


def split_name(name: str) -> Tuple[str, str]:
    """Split FILE#KEY, the weights under a key of a file, where no file has
    that name."""
    file, _, key = name.rpartition('#')
    there = '://' in file or osp.isfile(osp.expanduser(file))
    return (file, key) if there and not osp.exists(name) else (name, '')


def check_weights_exist(name: str) -> None:
    """Raise FileNotFoundError, before long work, if what is to be loaded is
    on this machine and not there."""
    file, _ = split_name(name)
    if '://' not in file and not osp.exists(osp.expanduser(file)):
        raise FileNotFoundError(f'Checkpoint {file!r} does not exist.')


def _load(name: str, map_location: Device, **kwargs) -> Dict[str, Any]:
    """Load a file or web address; see :func:`load_checkpoint`. Its weights
    are checked, and stand under ``state_dict`` or alone."""
    file, key = split_name(name)
    path = _download(file) if '://' in file else file
    content = load_checkpoint(path, map_location, **kwargs)
    key = _find_weights(content, file, key)
    weights = content[key] if key else content
    if key == 'ema_state_dict':  # of MMEngine's EMAHook, with a count
        weights = {name.removeprefix('module.'): value
                   for name, value in weights.items() if name != 'steps'}
    _check_weights(weights, file, bool(key), str(map_location) != 'meta')
    return dict(content, state_dict=weights) if key else content


def _find_weights(content: Any, path: str, key: str) -> str:
    """Return the key of a file's weights, the one that is asked for, if any;
    '' if they stand at the top. ValueError where there are none, or several
    and no usual key."""
    if not _is_dict(content):
        raise ValueError(f'{path} holds a {_kind(content)}, not a dict of '
                         f'weights; {_SAVE}')
    usual = [name for name in ('state_dict', 'model', 'model_state_dict')
             if name == 'state_dict' and name in content
             or isinstance(content.get(name), Mapping)]
    found = [name for name, part in content.items()
             if isinstance(name, str) and isinstance(part, Mapping) and part
             and all(map(torch.is_tensor, part.values()))]
    listed = ', '.join(repr(name[:40]) for name in found[:8])
    if key and key not in found:
        raise ValueError(f'{path} holds no weights {key!r}, but: '
                         f'{listed or "none"}')
    if not key and not usual:
        if any(map(torch.is_tensor, content.values())):
            return ''
        if len(found) > 1:
            raise ValueError(f'{path} holds several sets of weights, {listed}:'
                             f' choose one by {path}#KEY')
        if not found:
            raise ValueError(f'{path} holds no weights by name; {_SAVE}')
    key = key or (usual or found)[0]
    if set(found) - _OF_TRAINING > {key} or key not in usual:
        print_log(f'{path}: using the weights {key!r} of {listed}; {path}#KEY '
                  'selects others', 'current', logging.WARNING)
    return key


def _check_weights(weights: Any, path: str, strict: bool,
                   values: bool) -> None:
    """Refuse (ValueError) what is no dict of tensors by name, or has
    :func:`_fault`. Unless ``strict``, other things may stand beside them."""
    if not _is_dict(weights):
        raise ValueError(f'{path} holds a {_kind(weights)} instead of a dict '
                         f'of weights; {_SAVE}')
    for key, value in weights.items():
        if not isinstance(key, str):
            raise ValueError(f'{path} has a {_kind(key)} as the name of a '
                             f'weight; {_SAVE}')
        if torch.is_tensor(value):
            fault = _fault(key, value, values)
        else:
            fault = f'is a {_kind(value)}, not a weight' if strict else ''
        if fault:
            raise ValueError(f'{path}: {key[:80]!r} {fault}; get an intact '
                             f'copy, or {_SAVE}')


def _fault(name: str, value: Tensor, values: bool) -> str:
    """Say why nobody could compute with a weight ('' if not): it is sparse,
    complex, or of integers, has no values though it should, or values that
    are not finite. Buffers may be of integers, and masks infinite."""
    if len(name) > 500 or not name.isprintable():
        return 'is not the name of a weight'
    if value.layout != torch.strided or value.is_complex() or (
            not value.is_floating_point() and name.endswith(_WEIGHTS)):
        return f'is {value.layout} of {value.dtype}, not real numbers'
    if not values:
        return ''
    if value.is_meta:
        return "has no values (it was saved from torch's meta device)"
    if value.is_floating_point() and not name.endswith('mask'):
        numbers = value.float()  # which models compute in
        # The sum takes no memory; of large numbers it may overflow.
        if not (numbers.sum().isfinite() or numbers.isfinite().all()):
            return 'has values that are not finite'
    return ''


def _is_dict(value: Any) -> bool:
    """Tell a dict from a stand-in for an object that is none."""
    return isinstance(value, Mapping) and (
        not isinstance(value, Inert) or bool(value))


def _kind(value: Any) -> str:
    return value.name if isinstance(value, Inert) else type(value).__name__


def tensors_of(content: Mapping) -> Dict[str, Tensor]:
    """Return the weights of what the loaders here return, by their names,
    without the ``module.`` of a training loop."""
    return {key.removeprefix('module.'): value
            for key, value in content.get('state_dict', content).items()
            if torch.is_tensor(value)}


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
        return _load(filename, map_location, trust=trust)

    for prefix in '', 'http://', 'https://', ASSET:
        CheckpointLoader.register_scheme(prefix, load_from_file, force=True)


def _download(url: str) -> str:
    """Fetch the file of a web address into torch's cache."""
    path = osp.join(torch.hub.get_dir(), 'checkpoints',
                    osp.basename(urlparse(url).path))
    if get_local_rank() == 0 and not osp.exists(path):
        if reason := unreachable(url):
            raise UserError(f'{url} cannot be fetched: {reason}')
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
