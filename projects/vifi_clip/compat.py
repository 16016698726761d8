"""Gaps of the pinned stack, each closed only where the gap is there.

Nothing else in the package works around a dependency; see also
``checkpoints/files.py`` (safe loading) and ``apis/runs.py`` (gloo on CPU).
"""
import gc
import importlib
import importlib.util
import sys
import types
import warnings
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Callable, Iterator

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.utils import manager

from projects.vifi_clip_configs.shipped import shipped_base


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import MMAction2 and what it needs in three quarters of the time.

    A quarter goes into collecting garbage, of which imports make none, and
    into ``scipy.stats``, of which the pose transforms need ``mode``: they get
    a stand-in, which loads it when that is called.
    """
    name = 'scipy.stats'
    collecting = gc.isenabled()
    gc.disable()
    try:
        if name not in sys.modules:
            stand_in = sys.modules[name] = types.ModuleType(name)
            stand_in.mode = lambda *args, **kwargs: importlib.import_module(
                name).mode(*args, **kwargs)
            try:
                from mmaction.datasets import transforms  # noqa: F401
            finally:
                del sys.modules[name]
                # the import system's doing; scipy then looks it up again
                vars(sys.modules.get('scipy', stand_in)).pop('stats', None)
        yield
    finally:
        if collecting:
            gc.enable()


def apply() -> None:
    """Close every gap. Safe to call any number of times."""
    # mmcv-lite warns at import of compiled ops that nothing here needs.
    warnings.filterwarnings(
        'ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    _stand_in_for_drn()
    _leave_out_vindlu()
    _let_hue_go_down()
    _release_the_managers_lock()
    _know_our_configs()


def _stand_in_for_drn() -> None:
    """Fill in ``localizers.drn``, which the mmaction2 1.2.0 wheel imports and
    does not ship (mmaction2 issue 2714): ``import mmaction.models`` fails."""
    import mmaction
    name = 'mmaction.models.localizers.drn'
    package = Path(mmaction.__file__).parent / 'models/localizers/drn'
    if name in sys.modules or package.exists():
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
    """Leave out MMAction2's VindLU models, which import names that
    transformers 5 no longer has, by the switch that MMAction2 has for a
    machine without transformers."""
    spec = importlib.util.find_spec('transformers')
    if spec is None or spec.origin is None:
        return
    source = Path(spec.origin).with_name('modeling_utils.py')
    if source.exists() and 'find_pruneable_heads' in source.read_text():
        return
    from mmaction.utils import dependency
    dependency.WITH_MULTIMODAL = False


def _let_hue_go_down() -> None:
    """Let MMAction2's ColorJitter lower the hue: it adds the change to a
    uint8 array, and numpy >= 2 refuses a negative one (OverflowError)."""
    from mmaction.datasets.transforms import ColorJitter
    try:
        ColorJitter.adjust_hue(np.zeros((1, 1, 3), np.float32), -0.1)
        return
    except OverflowError:
        pass

    def adjust_hue(img: np.ndarray, factor: float) -> np.ndarray:
        """[H, W, 3] RGB of 0..255, and a share of 255, as there."""
        pixels = np.clip(img, 0, 255).astype(np.uint8)
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    ColorJitter.adjust_hue = staticmethod(adjust_hue)


def _release_the_managers_lock() -> None:
    """Let MMEngine's get_instance and get_current_instance release their lock
    when they raise. They keep it, and any other thread that builds something
    waits for ever."""
    class Probe(manager.ManagerMixin):
        pass

    with suppress(RuntimeError):  # there is no instance
        Probe.get_current_instance()
    with suppress(RuntimeError):  # not kept
        manager._lock.release()
        for name in 'get_instance', 'get_current_instance':
            method = vars(manager.ManagerMixin)[name].__func__
            setattr(manager.ManagerMixin, name, _releasing(method))


def _know_our_configs() -> None:
    """Let ``_base_ = 'vifi_clip::vifi_mini.py'`` name a shipped config from
    any folder. MMEngine's :: takes OpenMMLab's own packages alone."""
    find = Config._get_cfg_path
    if getattr(find, 'knows_ours', False):
        return

    @wraps(find)
    def find_too(cfg_path: str, filename: str) -> tuple:
        # None: no scope of its own, whose name each type would be given
        ours = shipped_base(cfg_path)
        return (ours, None) if ours else find(cfg_path, filename)

    find_too.knows_ours = True
    Config._get_cfg_path = staticmethod(find_too)


def _releasing(method: Callable) -> classmethod:
    @wraps(method)
    def call(*args, **kwargs):
        try:
            return method(*args, **kwargs)
        except BaseException:
            with suppress(RuntimeError):  # raised before it was taken
                manager._lock.release()
            raise

    return classmethod(call)
