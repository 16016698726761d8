"""Pickles that try more than to rebuild tensors."""
import io
import pickle

import pytest
import torch

from projects.vifi_clip.checkpoints.inert_pickle import Inert, _module

_PICKLE = _module()


def _load(data: bytes):
    return _PICKLE.load(io.BytesIO(data))


@pytest.mark.parametrize('data', [
    b'cposix\nsystem\n(X\x06\x00\x00\x00exit 1tR.',
    b'c__builtin__\neval\n(X\x03\x00\x00\x001/0tR.',
    b'cbuiltins\ngetattr\n(ctorch\nload\nX\x08\x00\x00\x00__code__tR.',
    b'ctorch\nload\n.',
    # protocol 4 would look names with dots up from attribute to attribute
    b'\x80\x04\x8c\x05torch\x8c\x17serialization.os.system\x93\x8c\x01a\x85R.',
    b'(S"exit 1"\niposix\nsystem\n.',
])
def test_names_stand_for_nothing(data):
    found = _load(data)
    found = found if isinstance(found, Inert) else found()
    assert isinstance(found, Inert) and not found


@pytest.mark.parametrize('target', [
    b'cyacs\nNode\n', b'ctorch._utils\n_rebuild_tensor_v2\n',
    b'c__builtin__\nset\n'])
def test_what_a_name_stands_for_cannot_be_changed(target):
    """An object's state may name attributes to set, on a class as well."""
    state = b'N}X\x0c\x00\x00\x00dump_patchesI01\ns\x86b.'
    before = dict(vars(Inert))
    # A class finds its objects' method instead, and cannot call it so.
    with pytest.raises((pickle.UnpicklingError, AttributeError, TypeError)):
        _load(target + state)
    assert dict(vars(Inert)) == before
    assert not hasattr(torch._utils._rebuild_tensor_v2, 'dump_patches')


def test_plain_values_stay():
    value = dict(a=[1, 2.5, 'x', None, True], b={3, 4}, c=b'bytes', d=(1, ),
                 e=torch.float16, f=torch.Size([2]))
    for protocol in 2, 3, 4:
        assert _load(pickle.dumps(value, protocol)) == value
