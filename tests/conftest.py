"""Shared settings (no network, few threads), and a small world of real clips
with the tools that run on it."""
import gc
import logging
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

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
import mmengine.config.config  # noqa: E402
from commands import vifi  # noqa: E402
from helpers import BAD_DECODER  # noqa: E402
from mmengine.logging import MessageHub, MMLogger  # noqa: E402
from mmengine.runner import set_random_seed  # noqa: E402
from mmengine.visualization import Visualizer  # noqa: E402
from tiny import tiny_arch  # noqa: E402
from tools_world import settings_of, stop_workers, write_world  # noqa: E402

import projects.vifi_clip  # noqa: E402,F401
from projects.vifi_clip.datasets import contained_video  # noqa: E402
from projects.vifi_clip_tools.run import test, train  # noqa: E402

# MMEngine lays each run's config out four times, for seconds, for its log.
mmengine.config.config.FormatCode = lambda text, **_: (text, True)
# It collects garbage for each data set; with all these modules half a second.
gc.freeze()
# A child that ended what a test left would wait for PyAV's threads, which a
# fork does not have.
os.register_at_fork(after_in_child=gc.freeze)


def pytest_addoption(parser) -> None:
    parser.addoption('--fast', action='store_true',
                     help='leave out the tests that are marked slow')


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for the interpreter's own end


def pytest_collection_modifyitems(config, items) -> None:
    if config.getoption('--fast'):
        for item in items:
            if item.get_closest_marker('slow'):
                item.add_marker(pytest.mark.skip(reason='slow: --fast'))


@pytest.fixture(autouse=True)
def _seed():
    set_random_seed(0)


@pytest.fixture
def arch() -> dict:
    """A two-layer ViT CLIP, D = 32, 32 x 32 pixels."""
    return tiny_arch()


@pytest.fixture(scope='session')
def small_inferencer():
    """The small world's model, loaded once; do not change its labels."""
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture(autouse=True)
def _fresh_loggers():
    """A logger keeps the stream that it was made with, which pytest closes
    after each test."""
    yield
    _forget_runs()


def _forget_runs() -> None:
    logging.disable(logging.NOTSET)  # as benchmarks do for good
    # Runs are named by the second. A class has a list of its own.
    for kind in (MessageHub, MMLogger, Visualizer,
                 *Visualizer.__subclasses__()):
        kind._instance_dict.clear()


@pytest.fixture(scope='session')
def shared_world(tmp_path_factory) -> Path:
    """A world that no test may change."""
    return write_world(tmp_path_factory.mktemp('world'))


@pytest.fixture
def world(shared_world, tmp_path) -> Path:
    """A world of the test's own."""
    return Path(shutil.copytree(shared_world, tmp_path / 'world'))


@pytest.fixture
def write_config(tmp_path, shared_world):
    """Function of (name, root, changes by key): a config file."""

    def write(name='config', root=shared_world, **changes) -> str:
        path = tmp_path / f'{name}.py'
        settings = dict(settings_of(root), **changes)
        path.write_text('\n'.join(f'{k} = {v!r}'
                                  for k, v in settings.items()))
        return str(path)

    return write


@pytest.fixture
def tools(monkeypatch):
    """The tools in this process: ``train``, ``test``, and ``code_of_test`` and
    ``code_of_merge`` for exit codes."""
    monkeypatch.setenv('LOCAL_RANK', '0')  # and put back afterwards

    def fresh(main):

        def call(*args):
            _forget_runs()
            try:
                return main(*map(str, args))
            finally:
                stop_workers()

        return call

    return SimpleNamespace(
        train=fresh(lambda *argv: train.run(train.parse_args(argv))),
        test=fresh(lambda *argv: test.test(test.parse_args(argv))),
        code_of_test=fresh(lambda *argv: vifi('test', *argv)),
        code_of_merge=fresh(lambda *argv: vifi('merge', *argv)))


@pytest.fixture
def bad_decoder(monkeypatch):
    """Decoders that crash and hang at some files, in this process and in
    those that it forks."""
    contained_video._children.forget()
    monkeypatch.setattr(contained_video, '_CODE', contained_video._CODE
                        .replace('serve(', BAD_DECODER + 'serve('))
    yield
    contained_video._children.forget()
