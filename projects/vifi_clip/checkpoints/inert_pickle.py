"""Tensors out of a pickle that also holds objects of other packages.

A pickle is a program: it names functions and classes and calls them. Here
only what rebuilds tensors and plain containers is known; every other name,
whether a config class of a package that is not installed or ``os.system``,
stands for an :class:`Inert` object that keeps what it was given and does
nothing.
"""
import pickle
from collections import OrderedDict
from types import ModuleType
from typing import Any, Callable

import torch


class _Sealed(type):
    """Metaclass: no pickle can change a class of ours."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f'cannot set {name} of {cls.__name__}')


class Inert(dict, metaclass=_Sealed):
    """Stands in for an object whose class is not run.

    What the pickle would have put into a mapping is kept, so that a config
    whose class derives from dict can be read; all else is dropped.
    """

    origin = ''  # the class that it stands for, 'module.name'

    def __new__(cls, *args, **kwargs) -> 'Inert':
        return super().__new__(cls)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __call__(self, *args, **kwargs) -> 'Inert':
        return Inert()

    def __setstate__(self, state: Any) -> None:
        """The object's attributes are of no use without its class."""

    def append(self, item: Any) -> None:
        """As for lists and sets, whose items are dropped."""

    extend = add = append
    # A dict has none, but the object may have been a key.
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __repr__(self) -> str:
        return f'<{self.origin or "object"}, not run>'


class _Call:
    """A known function; a pickle can call it but not change it."""

    __slots__ = ('_function', )

    def __init__(self, function: Callable) -> None:
        object.__setattr__(self, '_function', function)

    def __call__(self, *args) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f'cannot set {name} of a function')


def _tensor(storage, offset, size, stride, *hooks) -> torch.Tensor:
    return torch._utils._rebuild_tensor(storage, offset, tuple(size), stride)


_KNOWN = {
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch._utils', '_rebuild_parameter'): lambda data, *rest: data,
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
    ('collections', 'OrderedDict'): OrderedDict,
    # bytes under protocol 2
    ('_codecs', 'encode'): lambda text, *rest: text.encode('latin1'),
}
for _type in (set, frozenset, list, dict, tuple, int, float, str):
    for _module in ('builtins', '__builtin__'):  # Python 3's and 2's name
        _KNOWN[_module, _type.__name__] = _type


class _Unpickler(pickle.Unpickler):
    """Knows the names above; torch itself knows its storages."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is not None:
            return _Call(known)
        dtype = vars(torch).get(name) if module == 'torch' else None
        if isinstance(dtype, torch.dtype):
            return dtype
        return _Sealed(name.rpartition('.')[2] or 'unknown', (Inert, ),
                       dict(origin=f'{module}.{name}'))


def _module() -> ModuleType:
    """What ``torch.load`` takes as its pickle module."""
    module = ModuleType('inert_pickle')
    module.Unpickler = _Unpickler
    module.load = lambda file, **kwargs: _Unpickler(file, **kwargs).load()
    return module


def load_inert(path: str) -> Any:
    """Read what ``torch.save`` wrote, with foreign objects as placeholders.

    Args:
        path (str): File in torch's zip or its older format.

    Returns:
        The content on the CPU; objects that are neither tensors nor plain
        values are :class:`Inert`.

    Raises:
        Exception: Of many kinds, where the file is damaged.
    """
    return torch.load(
        path,
        map_location='cpu',
        pickle_module=_module(),
        weights_only=False)
