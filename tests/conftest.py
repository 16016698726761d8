"""Shared settings: tiny architectures, no network, few threads."""
import os
import signal

import pytest

# A shell's background job ignores SIGINT, and one under nohup SIGHUP; so
# would the commands that tests end by a signal.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler),
                          (signal.SIGHUP, signal.SIG_DFL),
                          (signal.SIGTERM, signal.SIG_DFL)):
    signal.signal(_number, _handler)
# No test may wait for a download.
os.environ.setdefault('HF_HUB_OFFLINE', '1')

import torch  # noqa: E402

torch.set_num_threads(1)  # tiny models run faster without a thread pool
from tiny import tiny_arch  # noqa: E402

import mmengine.config.config  # noqa: E402

import projects.vifi_clip  # noqa: E402,F401

# MMEngine lays each run's config out four times, for seconds, for its log.
mmengine.config.config.FormatCode = lambda text, **_: (text, True)


def pytest_addoption(parser) -> None:
    parser.addoption('--fast', action='store_true',
                     help='leave out the tests that are marked slow')


def pytest_collection_modifyitems(config, items) -> None:
    if config.getoption('--fast'):
        for item in items:
            if item.get_closest_marker('slow'):
                item.add_marker(pytest.mark.skip(reason='slow: --fast'))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def arch() -> dict:
    """A two-layer ViT CLIP, D = 32, 32 x 32 pixels."""
    return tiny_arch()


@pytest.fixture(scope='session')
def small_inferencer():
    """The small world's model, loaded once; do not change its labels."""
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
    return ViFiCLIPInferencer('small_world', device='cpu')
