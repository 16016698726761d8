"""What a run shows on the screen, and what goes to its log alone."""
import logging
import sys
import warnings

import pytest
from mmengine.logging import MMLogger
from tools_world import settings_of

from projects.vifi_clip_tools.cli import screen
from projects.vifi_clip_tools.run import train


@pytest.mark.parametrize('level, text, shown', [
    (logging.INFO, 'Epoch(train) [1][3/3]  loss: 3.4', True),
    (logging.INFO, 'Config:\na = 1\n', False),
    (logging.INFO, 'Exp name: a', False),
    (logging.WARNING, 'two\nlines', True),
    (logging.WARNING, '"FileClient" will be deprecated', False),
    (logging.ERROR, '"FileClient" fails', True)])
def test_lines(level, text, shown):
    record = logging.LogRecord('a', level, '', 0, text, None, None)
    assert screen.is_for_people(record) == shown


def test_a_wrong_message_does_not_end_a_run(tmp_path, capsys):
    with screen.only_for_people():
        logger = MMLogger.get_instance('w', log_file=str(tmp_path / 'w.log'))
        logger.warning('%d', 'x')  # logging itself says what is wrong with it
        logger.info('but it goes on')
    said = capsys.readouterr()
    assert 'goes on' in said.out + said.err


def test_a_training_run(write_config, world, tools, tmp_path, capsys):
    """A line of each interval and each result; the file has the rest."""
    settings = settings_of(world)
    config = write_config(root=world, model=settings['model'],
                          default_hooks=dict(logger=dict(interval=1)))
    with screen.only_for_people():
        tools.train(config, '--work-dir', tmp_path / 'run')
    shown = capsys.readouterr().out
    log, = (path.read_text() for path in tmp_path.glob('run/*/*.log'))
    for text in 'Epoch(train) [1][1/2]', 'Epoch(train) [1][2/2]', 'acc/top1':
        assert text in shown and text in log
    for text in 'System environment', 'Config:', 'Hooks will be executed':
        assert text not in shown and text in log
    assert str(next(tmp_path.glob('run/*/*.log'))) in shown
    assert all(len(line) < 400 for line in shown.splitlines())


def test_warnings_of_libraries(tmp_path, capsys, monkeypatch):
    """Go to the file; our own, and a user's, to the screen."""
    ours, mine = [], tmp_path / 'mine.py'
    mine.touch()
    monkeypatch.setattr(warnings, 'showwarning',
                        lambda text, kind, file, *_: ours.append(file))
    build, show = MMLogger.__init__, warnings.showwarning
    with screen.only_for_people():
        MMLogger.get_instance('run', log_file=str(tmp_path / 'run.log'))
        for file in ('/x/site-packages/a.py', warnings.__file__,
                     pytest.__file__, '<string>', train.__file__, str(mine)):
            warnings.showwarning(f'from {file}', UserWarning, file, 1)
    said = capsys.readouterr()
    assert 'site-packages' not in said.out + said.err
    assert ours == [train.__file__, str(mine)]
    assert 'site-packages' in (tmp_path / 'run.log').read_text()
    assert (MMLogger.__init__, warnings.showwarning) == (build, show)


@pytest.mark.parametrize('terminal', [True, False])
def test_loading_is_said_once(terminal, monkeypatch, capsys):
    """By the first import of torch, at a terminal."""
    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: terminal)
    monkeypatch.delitem(sys.modules, 'torch')
    screen.say_loading()
    for name in 'numpy', 'torch', 'torch':
        for finder in list(sys.meta_path):
            if isinstance(finder, screen.SayLoading):
                assert finder.find_spec(name) is None
    assert capsys.readouterr().err.count('loading ...') == terminal
