"""A training that several files test."""
import pytest
from commands import vifi
from tools_world import settings_of


@pytest.fixture(scope='session')
def trained(shared_world, tmp_path_factory) -> tuple:
    """A config, and its checkpoint after an epoch, which no test changes."""
    folder = tmp_path_factory.mktemp('trained')
    config = folder / 'config.py'
    config.write_text(''.join(
        f'{k} = {v!r}\n' for k, v in settings_of(shared_world).items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LOCAL_RANK', '0')
        assert vifi('train', config, '--work-dir', folder / 'run') == 0
    return str(config), folder / 'run' / 'epoch_1.pth'
