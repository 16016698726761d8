"""Each gap of the stack is closed."""
import colorsys
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from mmaction.datasets.transforms import ColorJitter
from mmengine.registry import DefaultScope
from mmengine.utils import ManagerMixin, manager
from mmengine.visualization import Visualizer


def _hue(pixel) -> float:
    return colorsys.rgb_to_hsv(*(np.asarray(pixel, float) / 255))[0]


@pytest.mark.parametrize('factor', [-0.4, 0.1])
@pytest.mark.parametrize('rgb', [(200, 30, 30), (60, 30, 220)])
def test_hue_turns_both_ways(rgb, factor):
    image = np.full((2, 2, 3), rgb, np.float32)
    turned = ColorJitter.adjust_hue(image, factor)
    assert turned.dtype == np.float32 and turned.shape == (2, 2, 3)
    # MMAction2 moves by factor * 255 steps on OpenCV's circle of 180.
    expected = (_hue(rgb) + int(factor * 255) / 180) % 1
    distance = abs(_hue(turned[0, 0]) - expected)
    assert min(distance, 1 - distance) < 0.02
    assert turned[0, 0].max() == pytest.approx(max(rgb), abs=2)


def test_drn_explains_itself_when_built():
    from mmaction.models.localizers import drn
    if getattr(drn, '__file__', None):
        pytest.skip('this MMAction2 ships DRN')
    from mmaction.models.localizers.drn.drn import DRN
    with pytest.raises(ImportError, match='from source'):
        DRN(vocab_size=1)


@pytest.mark.parametrize('fail', [
    Visualizer.get_instance, lambda: Visualizer.get_instance(1),
    lambda: Visualizer.get_instance('new', vis_backends=[dict(type='None')]),
    type('Empty', (ManagerMixin, ), {}).get_current_instance])
def test_an_error_leaves_no_lock_behind(fail):
    """The page's thread waited for ever once a run had failed."""
    with pytest.raises(Exception):
        fail()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(DefaultScope.get_current_instance)
        try:
            found.result(10)
        finally:
            with suppress(RuntimeError):  # let the thread end
                manager._lock.release()


@pytest.mark.slow
def test_mmaction_models_import_behind_the_plugin_alone():
    done = subprocess.run(
        [sys.executable, '-c', 'import projects.vifi_clip, scipy.stats; '
         'import mmaction.models; print(mmaction.models.TSNHead.__name__, '
         'scipy.stats.mode([1, 2, 2]).mode)'],
        capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == 'TSNHead 2', done.stderr
