"""Fixtures: a small world of real clips, and the tools run on it."""
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer
from commands import vifi
from tools_world import settings_of, start, stop_workers, write_world

from projects.vifi_clip_tools.run import test, train
from projects.vifi_clip_tools.run.testing import test as run_test


@pytest.fixture(autouse=True)
def _fresh_loggers():
    """A logger keeps the stream that it was made with, which pytest closes
    after each test."""
    yield
    MMLogger._instance_dict.clear()


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
    """The tools: ``train`` and ``test`` in this process, ``main_*`` with exit
    codes, ``shell`` in another."""
    monkeypatch.setenv('LOCAL_RANK', '0')  # and put back afterwards
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def fresh(main):

        def call(*args):
            for kind in MessageHub, MMLogger, Visualizer:
                kind._instance_dict.clear()  # named by the second
            try:
                return main(*map(str, args))
            finally:
                stop_workers()

        return call

    yield SimpleNamespace(
        train=fresh(lambda *argv: train.run(train.parse_args(argv))),
        test=fresh(lambda *argv: run_test(test.parse_args(argv))),
        code_of_train=fresh(lambda *argv: vifi('train', *argv)),
        code_of_test=fresh(lambda *argv: vifi('test', *argv)),
        start=start)
    torch.set_num_threads(threads)
