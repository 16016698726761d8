"""Gaps of the pinned stack, each closed only where the gap is there.

Nothing else in the package works around a dependency; see also
``engine/checkpoint.py`` (safe loading) and ``apis/launch.py`` (gloo on CPU).
"""
import importlib.util
import sys
import types
from pathlib import Path


def apply() -> None:
    """Close every gap. Safe to call any number of times."""
    _stand_in_for_drn()
    _leave_out_vindlu()


def _stand_in_for_drn() -> None:
    """The mmaction2 1.2.0 wheel imports ``localizers.drn`` without shipping it
    (mmaction2 issue 2714), so that ``import mmaction.models`` fails."""
    name = 'mmaction.models.localizers.drn'
    spec = importlib.util.find_spec('mmaction')
    if spec is None or name in sys.modules:
        return
    package = Path(spec.origin).parent / 'models' / 'localizers' / 'drn'
    if package.exists():
        return

    class DRN:
        """Stand-in that explains itself when somebody builds it."""

        def __init__(self, *args, **kwargs) -> None:
            raise ImportError(
                'DRN is missing from the installed mmaction2 wheel '
                '(https://github.com/open-mmlab/mmaction2/issues/2714). '
                'Install MMAction2 from source to use it.')

    parent, child = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    parent.__path__ = []  # marks it as a package, so `drn.drn` is found
    parent.drn, parent.DRN, child.DRN = child, DRN, DRN
    sys.modules[name], sys.modules[child.__name__] = parent, child


def _leave_out_vindlu() -> None:
    """MMAction2's VindLU models import names that transformers 5 no longer
    has, and take ``mmaction.models`` down with them; MMAction2's own switch
    for a machine without transformers leaves them out."""
    spec = importlib.util.find_spec('transformers')
    if spec is None or spec.origin is None:
        return
    source = Path(spec.origin).with_name('modeling_utils.py')
    if source.exists() and 'find_pruneable_heads' in source.read_text():
        return
    from mmaction.utils import dependency
    dependency.WITH_MULTIMODAL = False
