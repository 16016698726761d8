"""Pickles as data: read without calling what they name, and in bounds.

A pickle is a program that names functions and calls them. The one reader here
calls nothing but what rebuilds tensors and plain values, and counts the
memory that its instructions take.
"""
import math
import pickle
import re
from collections import Counter, OrderedDict
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
import torch
from torch.storage import TypedStorage

OBJECTS = 2**26  # bytes of a pickle's objects, about
SCRIPT = '__torch__.'  # classes of a TorchScript archive
Refused = pickle.UnpicklingError
_DEPTH, _VALUES = 100, 2**22
_STORAGES = dict(torch.storage._storage_type_to_dtype_map(),
                 UntypedStorage=torch.uint8)


class Budget:
    """Something that may be spent up to a limit."""

    def __init__(self, left: int, message: str) -> None:
        self.left, self.message = left, message

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise Refused(self.message)


class Inert(dict):
    """Stand-in for an object of the class ``name``, which is not run.

    What the pickle puts into a mapping is kept, so that a config whose class
    derives from dict can be read, and the attributes of a TorchScript module;
    all else is dropped.
    """
    __slots__ = ('name', )
    # A dict has neither, but the object may have been a key.
    __hash__, __eq__ = object.__hash__, object.__eq__

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class _Global:
    """What a pickle calls by a name."""
    __slots__ = ('name', 'call')

    def __init__(self, name: str, call: Optional[Callable]) -> None:
        self.name, self.call = name, call


class _Steps(dict):
    """A pickle's instructions, each of which costs."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(_STEPS)
        self.budget = budget

    def __getitem__(self, code: int) -> Callable:
        self.budget.spend(100)  # bytes of a small object
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Callable:
        raise Refused(f'its pickle has the unknown instruction {code}')


class InertUnpickler(pickle._Unpickler):
    """Reader of one pickle.

    Args:
        file: What has the pickle.
        storage: Function of key, torch.dtype, number of elements; returns a
            tensor's ``torch.UntypedStorage``.
        objects (Budget, optional): Bytes that the objects may take.
        tensors (Budget, optional): Bytes that the tensors may take.

    ``names`` has what the pickle names and is not known here, in order.
    """

    def __init__(self, file: Any, storage: Optional[Callable] = None,
                 objects: Optional[Budget] = None,
                 tensors: Optional[Budget] = None) -> None:
        super().__init__(file, encoding='utf-8')
        self.storage, self.tensors = storage, tensors
        self.objects = objects or Budget(OBJECTS, 'it is too large')
        self.names: Dict[str, None] = {}
        self.dispatch = _Steps(self.objects)

    def find_class(self, module: str, name: str) -> Any:
        path = f'{module}.{name}'
        if len(path) > 500 or not path.isprintable():
            raise Refused('its pickle has a name that can be none')
        if path in _KNOWN:
            return _Global(path, _KNOWN[path])
        if module.startswith('torch'):
            value = _STORAGES.get(name) or vars(torch).get(
                name.removesuffix('Storage').lower())
            if isinstance(value, torch.dtype):
                return value  # also in the place of a storage's type
        self.objects.spend(1000)
        self.names.setdefault(path)
        return _Global(path, None)

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == 'module':  # and its source code, in very old files
            return pid[1]
        kind, dtype, key, _, numel, *view = pid
        if (kind != 'storage' or type(dtype) is not torch.dtype or any(view)
                or type(key) is not str or not _natural(numel)):
            raise Refused('it refers to something that is not a storage')
        return TypedStorage(
            wrap_storage=self.storage(key, dtype, numel), dtype=dtype,
            _internal=True)

    def _call(self, function: Any, args: Any) -> Any:
        if not isinstance(args, (tuple, list)):
            args = args,  # TorchScript's way with an Enum
        self.objects.spend(1000 + sum(
            16 * len(arg) for arg in args
            if isinstance(arg, (str, bytes, bytearray, list, tuple, set,
                                frozenset, dict))))
        if type(function) is not _Global:
            raise Refused(f'its pickle calls a {type(function).__name__}')
        return function.call(self, *args) if function.call else Inert(
            function.name)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    load_newobj = load_reduce

    def load_newobj_ex(self) -> None:
        del self.stack[-1]  # keywords
        self.load_reduce()

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(self._call(klass, args))

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            if target.name.startswith(SCRIPT) and type(state) is dict:
                self.put(target, state.items())
        elif type(target) is OrderedDict:
            target._metadata = OrderedDict(  # a state dict's versions
                (name, dict(version=part['version']))
                for name, part in state.get('_metadata', {}).items()
                if type(name) is str and type(part.get('version')) is int)
        elif type(target) is np.ndarray:
            self.fill_array(target, *state)
        elif not isinstance(target, np.dtype) or state[1] not in '<|=':
            raise Refused(f'its pickle changes a {type(target).__name__}')

    def fill_array(self, target: np.ndarray, version: int, shape: tuple,
                   dtype: np.dtype, fortran: bool, data: bytes) -> None:
        """Give an array of numpy its shape and values."""
        if (not all(map(_natural, shape)) or type(data) is not bytes
                or math.prod(shape) * dtype.itemsize != len(data)):
            raise Refused('its numpy array has another size than its data')
        self.objects.spend(len(data))
        target.__setstate__((version, shape, dtype, bool(fortran), data))

    def put(self, target: dict, pairs: Any) -> None:
        """Put items into a dict."""
        for key, value in pairs:
            target[self.key(key)] = value

    def key(self, key: Any) -> Any:
        """Refuse a key that takes long to compare: deeply nested, or one of
        many that are built to have the same hash."""
        if type(key) not in (str, bytes, bool, type(None)):
            if type(key) is tuple and any(type(k) is tuple for k in key):
                raise Refused('it has a nested tuple as a key')
            small = type(key) is int and abs(key) < 2**32
            self.objects.spend(100 if small else 2**15)
        return key

    def _target(self, *kinds: type) -> Any:
        if not isinstance(self.stack[-1], kinds):
            raise Refused('its pickle puts items into a '
                          f'{type(self.stack[-1]).__name__}')
        return self.stack[-1]

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self.put(self._target(dict), zip(items[::2], items[1::2]))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put(self._target(dict), [(key, value)])

    def load_dict(self) -> None:
        self.metastack[-1].append({})
        self.load_setitems()

    def load_appends(self) -> None:
        items = self.pop_mark()
        if type(self._target(list, Inert)) is list:
            self.stack[-1].extend(items)

    def load_append(self) -> None:
        item = self.stack.pop()
        if type(self._target(list, Inert)) is list:
            self.stack[-1].append(item)

    def load_empty_set(self) -> None:
        self.objects.spend(1000)
        self.append(set())

    def load_additems(self) -> None:
        items = self.pop_mark()
        if type(self._target(set, Inert)) is set:
            self.stack[-1].update(map(self.key, items))

    def load_frozenset(self) -> None:
        self.append(frozenset(map(self.key, self.pop_mark())))

    def load_bytearray8(self) -> None:
        self.load_binbytes8()
        self.stack[-1] = bytearray(self.stack[-1])


# The methods of the class above in place of the standard ones.
_STEPS = {code: getattr(InertUnpickler, step.__name__)
          for code, step in pickle._Unpickler.dispatch.items()}


def _natural(value: Any) -> bool:
    return type(value) is int and value >= 0


def _tensor(self: InertUnpickler, storage: TypedStorage, offset: int,
            size: tuple, stride: tuple, grad: Any = None, hooks: Any = None,
            metadata: Any = None, dtype: Any = None) -> torch.Tensor:
    """Rebuild a tensor, which must lie within its storage."""
    data, dtype = storage._untyped_storage, dtype or storage.dtype
    if not all(map(_natural, (offset, *size, *stride))) or metadata:
        raise Refused('it has a tensor of no or of an unusual shape')
    count = math.prod(size)
    end = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride))
    if count and end * dtype.itemsize > data.nbytes():
        raise Refused('it has a tensor that is larger than its storage')
    self.tensors.spend(count * dtype.itemsize)
    return torch.empty(0, dtype=dtype, device=data.device).set_(
        data, offset, size, stride)


def _ordered(self: InertUnpickler, pairs: Any = ()) -> OrderedDict:
    result: OrderedDict = OrderedDict()
    self.put(result, pairs)
    return result


def _dtype(self: InertUnpickler, name: str, *rest: Any) -> np.dtype:
    if not re.fullmatch('[biufcSU][1-9][0-9]{0,3}', name):
        raise Refused(f'it has a numpy array of the kind {name[:20]!r}')
    return np.dtype(name)


def _scalar(self: InertUnpickler, dtype: np.dtype, data: bytes) -> Any:
    value = np.empty(0)
    self.fill_array(value, 1, (), dtype, False, data)
    return value[()]


def _bytearray(self: InertUnpickler, data: Any = b'', *rest: Any) -> bytearray:
    return bytearray(data if type(data) is bytes else data.encode('latin1'))


_KNOWN: Dict[str, Callable] = {
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3':
    lambda self, storage, offset, size, stride, grad, hooks, dtype, *rest:
    _tensor(self, storage, offset, size, stride, grad, hooks, *rest,
            dtype=dtype),
    'torch._tensor._rebuild_from_type_v2':
    lambda self, function, kind, args, state: self._call(function, args),
    **dict.fromkeys(
        ('torch._utils._rebuild_parameter', 'torch.nn.parameter.Parameter',
         'torch._utils._rebuild_parameter_with_state', 'torch.Tensor'),
        lambda self, data, *rest: data),
    'torch.Size': lambda self, size: torch.Size(size),
    'torch.device': lambda self, *args: torch.device(*args),
    'collections.OrderedDict': _ordered,
    'collections.Counter': lambda self, pairs={}: Counter(
        _ordered(self, dict.items(pairs))),
    # bytes under protocol 2
    '_codecs.encode': lambda self, text, *rest: text.encode('latin1'),
    **{f'{module}.{name}': call
       for module in ('builtins', '__builtin__')  # Python 3's and 2's name
       for name, call in dict(
           set=lambda self, items=(): set(map(self.key, items)),
           frozenset=lambda self, items=(): frozenset(map(self.key, items)),
           complex=lambda self, real, imag: complex(real, imag),
           bytearray=_bytearray).items()},
    'numpy.dtype': _dtype,
    'numpy.ndarray': lambda self, *rest: np.empty(0),
    **{f'numpy.{core}.multiarray.{name}': call
       for core in ('core', '_core')  # numpy 1's and 2's name
       for name, call in dict(_reconstruct=lambda self, *rest: np.empty(0),
                              scalar=_scalar).items()},
    # A TorchScript archive's lists, and the type of a value.
    **{f'torch.jit._pickle.{name}': lambda self, value, *tag: value
       for name in ('restore_type_tag', 'build_intlist', 'build_tensorlist',
                    'build_doublelist', 'build_boollist')},
}


def weigh(value: Any, seen: Dict[int, Tuple[int, int]],
          level: int = 0) -> Tuple[int, int]:
    """Return how many values a value holds, what it holds twice counted twice,
    and how deep; refuse what nobody could print or walk through."""
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return 1, 0
    if id(value) not in seen:
        seen[id(value)] = 0, _DEPTH  # until it is known: it holds itself
        if level <= _DEPTH:
            parts = [weigh(part, seen, level + 1) for part in (
                value.values() if isinstance(value, dict) else value)]
            seen[id(value)] = (1 + sum(count for count, _ in parts), 1 + max(
                (depth for _, depth in parts), default=0))
    count, depth = seen[id(value)]
    if count > _VALUES or depth >= _DEPTH:
        raise Refused('its values are nested too deeply')
    return count, depth
