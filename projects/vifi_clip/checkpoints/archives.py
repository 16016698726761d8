"""Files of ``torch.save`` and ``torch.jit.save``, read as data.

A file is read twice: first on torch's 'meta' device, where tensors have a
size and no memory, so that whatever is wrong shows before anything is
allocated; then with the values, each compared with the archive's checksum.
Nothing of a file is run, though its sizes may lie and its code be hostile.
"""
import io
import os
import re
import zipfile
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, Tuple

import torch

from .unpickling import (OBJECTS, SCRIPT, Budget, Inert, InertUnpickler,
                         Refused, weigh)

# Zip archives, and pickles from protocol 2.
_STARTS = (b'PK', *(b'\x80' + bytes([i]) for i in range(2, 6)))
# Bytes: what is read at once; the directory of an archive; the code of a
# TorchScript class; a step in reading a storage, which the cache holds.
_WHOLE, _DIRECTORY, _CODE, _STEP = 2**28, 2**23, 2**24, 2**20


def read(path: str, device: torch.device, trust: bool = False,
         inert: bool = False) -> Tuple[Any, List[str]]:
    """Return the content of a file, of a TorchScript archive its state dict;
    or what it names beside tensors and plain values, and would have to run.

    With ``trust`` the names are returned once all checksums are compared.
    ``inert`` reads on with stand-ins (:class:`Inert`), but for a TorchScript
    archive. Any exception says that the file is damaged, or wants more memory
    than its size justifies.
    """
    with _File(path) as file:
        start = file.peek(2)[:2]
        if start not in _STARTS:
            raise Refused(f'it starts with {start!r}' if start else
                          'it is empty')
        source = _Zip(file) if start == b'PK' else _Legacy(file)
        content = source.unpickle(torch.device('meta'))
        names = list(source.names)
        if names and (source.script or not inert):
            if trust:
                source.compare_checksums()
            return None, names
        return content if device.type == 'meta' else source.unpickle(
            device), []


class _File(io.BufferedReader):
    """File that never reads more at once than is there, or than a limit."""

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size
        self.limit = _WHOLE

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _STEP:
            left = self.size - self.tell()
            size = left if size < 0 else size
            if size > min(left, self.limit):
                raise EOFError('it is cut short, or needs too much memory')
        return super().read(size)

    def readline(self, size: int = -1) -> bytes:
        return super().readline(_STEP)


class _Source:
    """A file with pickled objects and the storages of their tensors."""
    script = swapped = False

    def __init__(self, file: _File) -> None:
        self.file = file

    def unpickle(self, device: torch.device) -> Any:
        """Read the content; its tensors have no values on 'meta'."""
        self.device, self.first = device, device.type == 'meta'
        self.names: Dict[str, None] = {}
        self.storages: Dict[str, torch.UntypedStorage] = {}
        size = self.file.size
        self.tensors = Budget(8 * size + 2**20, 'its tensors need several '
                              'times the memory of the file')
        self.objects = Budget(OBJECTS + min(2 * size, OBJECTS), 'its '
                              'pickle makes more objects than weights need')
        return self.load()

    def load_pickle(self, file: Any) -> Any:
        """Read one pickle."""
        unpickler = InertUnpickler(file, self.storage, self.objects,
                                   self.tensors)
        content = unpickler.load()
        weigh(content, {})
        self.names.update(unpickler.names)
        return content

    def compare_checksums(self) -> None:
        """There are none."""

    def storage(self, key: str, dtype: torch.dtype,
                numel: int) -> torch.UntypedStorage:
        """Return the storage of this key."""
        size = numel * dtype.itemsize
        if key not in self.storages:
            if self.first:
                self.declare(key, size, dtype)
                data = torch.UntypedStorage(size, device=self.device)
            else:
                tensor = torch.empty(size, dtype=torch.uint8)
                if size:
                    self.fill(key, memoryview(tensor.numpy()))
                if self.swapped:
                    tensor.untyped_storage().byteswap(dtype)
                data = tensor.to(self.device).untyped_storage()
            self.storages[key] = data
        if self.storages[key].nbytes() != size:
            raise Refused(f'its storage {key[:20]!r} has two sizes')
        return self.storages[key]


class _Zip(_Source):
    """A zip archive of ``torch.save`` or ``torch.jit.save``."""

    def __init__(self, file: _File) -> None:
        super().__init__(file)
        file.limit = _DIRECTORY
        self.archive = zipfile.ZipFile(file)
        file.limit = _WHOLE
        entries, names = self.archive.infolist(), self.archive.namelist()
        roots = [name.removesuffix('data.pkl') for name in names
                 if name.endswith('/data.pkl') and name.count('/') == 1]
        if len(roots) != 1 or len(set(names)) < len(names):
            raise Refused('it has no data.pkl, or two entries of one name')
        self.root, = roots
        self.script = any(name.startswith(f'{self.root}{part}')
                          for part in ('code/', 'constants.pkl')
                          for name in names)
        if not any(entry.CRC for entry in entries):
            for entry in entries:  # as after torch's set_crc32_options(False)
                del entry.CRC

    def entry(self, name: str) -> zipfile.ZipInfo:
        try:
            entry = self.archive.getinfo(self.root + name)
        except KeyError:
            raise Refused(f'it lacks its entry {name[:80]!r}') from None
        self.tensors.spend(entry.file_size)
        if entry.compress_type not in (zipfile.ZIP_STORED,
                                       zipfile.ZIP_DEFLATED):
            raise Refused(f'its entry {name[:80]!r} is packed in a way that '
                          'torch does not write')
        return entry

    def text(self, name: str, limit: int) -> bytes:
        """Read a whole entry."""
        entry = self.entry(name)
        if entry.file_size > limit:
            raise Refused(f'its entry {name[:80]!r} is too large')
        data = bytearray(entry.file_size)
        self.copy(entry, memoryview(data))
        return bytes(data)

    def copy(self, entry: zipfile.ZipInfo, view: memoryview) -> None:
        done = 0
        with self.archive.open(entry) as file:  # compares the checksum
            while count := file.readinto(view[done:done + _STEP]):
                done += count
        if done < len(view):
            raise EOFError(f'its entry {entry.filename[:80]!r} is cut short')

    def compare_checksums(self) -> None:
        """Compare those of all entries."""
        damaged = self.archive.testzip()
        if damaged:
            raise Refused(f'its entry {damaged[:80]!r} has another checksum')

    def declare(self, key: str, size: int, dtype: torch.dtype) -> None:
        real = self.entry(f'data/{key}').file_size
        if real != size:
            raise Refused(f'its storage {key[:20]!r} should have {size} bytes '
                          f'and has {real}')

    def fill(self, key: str, view: memoryview) -> None:
        self.copy(self.entry(f'data/{key}'), view)

    def load(self) -> Any:
        if f'{self.root}byteorder' in self.archive.NameToInfo:
            self.swapped = self.text('byteorder', 8) == b'big'
        content = self.load_pickle(
            io.BytesIO(self.text('data.pkl', _WHOLE)))
        if not self.script:
            return content
        if self.first:
            self.read_classes()
        return OrderedDict(self.state_dict(content, ''))

    def read_classes(self) -> None:
        """Note the names of parameters and buffers by the name of a module's
        class, and which classes run code as they are loaded."""
        self.kept: Dict[str, List[set]] = {}
        classes = {name for name in self.names if name.startswith(SCRIPT)}
        self.names = {name: None for name in self.names if name not in classes}
        for module in {name.rpartition('.')[0] for name in classes}:
            text = self.text(f'code/{module.replace(".", "/")}.py', _CODE)
            _, *parts = re.split(r'^class (\w+)(?:\((\w+)\))?:$',
                                 text.decode(), flags=re.M)
            for name, base, body in zip(*(parts[i::3] for i in range(3))):
                path = f'{module}.{name}'
                if 'def __setstate__(' in body and path in classes:
                    self.names[f'{path}.__setstate__'] = None
                if base == 'Module':
                    parameters, buffers = (
                        set(re.findall('"([^"]*)"', ''.join(re.findall(
                            rf'^  __{kind}__ = (.*)$', body, re.M))))
                        for kind in ('parameters', 'buffers'))
                    # A buffer that may be None is not saved.
                    self.kept[path] = [parameters, buffers.intersection(
                        re.findall(r'^  (?:__annotations__\[")?(\w+)'
                                   r'(?:"\] =| :) Tensor$', body, re.M))]

    def state_dict(self, module: Inert,
                   prefix: str) -> Iterator[Tuple[str, torch.Tensor]]:
        """Yield what the module's ``state_dict()`` would have."""
        for names in self.kept[module.name]:
            for name, value in module.items():
                if name in names and torch.is_tensor(value):
                    self.objects.spend(100 + len(prefix) + len(name))
                    yield prefix + name, value
        for name, value in module.items():
            if isinstance(value, Inert) and value.name in self.kept:
                yield from self.state_dict(value, f'{prefix}{name}.')


class _Legacy(_Source):
    """A file as torch wrote it before 1.6: pickles, and behind them, for each
    storage, the number of its elements and its bytes."""

    def load(self) -> Any:
        self.file.seek(0)
        self.sizes: Dict[str, Tuple[int, int]] = {}
        magic, version, _, content = (
            self.load_pickle(self.file) for _ in range(4))
        if (magic, version) != (torch.serialization.MAGIC_NUMBER,
                                torch.serialization.PROTOCOL_VERSION):
            raise Refused('it has another kind of content')
        if self.first:
            self.find_storages(self.load_pickle(self.file))
        return content

    def find_storages(self, keys: List[str]) -> None:
        """Note where the storages start, whose sizes must be as declared."""
        position, self.starts = self.file.tell(), {}
        for key in keys:
            size, width = self.sizes[key]
            self.file.seek(position)
            real = width * int.from_bytes(self.file.read(8), 'little')
            if real != size:
                raise Refused(f'its storage {key[:20]!r} should have {size} '
                              f'bytes and has {real}')
            self.starts[key] = position + 8
            position += 8 + size
        if self.file.size < position or len(self.starts) < len(self.sizes):
            raise EOFError('it is cut short')

    def declare(self, key: str, size: int, dtype: torch.dtype) -> None:
        self.sizes[key] = size, dtype.itemsize

    def fill(self, key: str, view: memoryview) -> None:
        position = self.file.tell()
        self.file.seek(self.starts[key])
        if self.file.readinto(view) < len(view):
            raise EOFError('it is cut short')
        self.file.seek(position)
