"""Every test here reads configs, with no knob set."""
import pytest
from config_entries import ROOT
from matrix_world import clear_knobs
from mmengine.config import Config
from mmengine.registry import init_default_scope

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams


@pytest.fixture(autouse=True)
def read(monkeypatch):
    """Function of an entry's name and its knobs: the config."""
    clear_knobs(monkeypatch)
    init_default_scope('mmaction')

    def read_config(entry, **knobs) -> Config:
        for name, value in knobs.items():
            monkeypatch.setenv(name, str(value))
        return Config.fromfile(ROOT / f'{entry}.py')

    return read_config


@pytest.fixture(scope='session')
def mini(tmp_path_factory) -> dict:
    """Knobs: one clip of each class of the small world, 64 x 64 pixels."""
    root = tmp_path_factory.mktemp('mini_configs') / 'mini'
    build(root, WorldParams(train_per_class=1, test_per_class=1,
                            target_train_per_class=0, num_stills=8),
          workers=1)
    return dict(DATA_ROOT=root, MINI_CLIP='none')
