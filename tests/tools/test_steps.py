"""One step of a longer job: a process with a log and a result."""
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from projects.vifi_clip_tools.cli.processes import (Step, interruptible,
                                                    run_step)
from projects.vifi_clip.errors import UserError


def _gone(pid: int, seconds: float = 5.) -> bool:
    """Whether a process ends; a zombie has."""
    end = time.time() + seconds
    while time.time() < end:
        try:
            state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state.split()[0] in 'ZX':
            return True
        time.sleep(0.05)
    return False


def _wait_for(path: Path) -> str:
    for _ in range(200):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f'{path} does not come')


def _finish(step: Step):
    while step.running(0.05):
        pass
    return step.finish()


def test_result_and_log(tmp_path, capfd):
    def main(argv):
        print('from Python', *argv)
        os.system('echo from a shell')
        print('to stderr', file=sys.stderr)
        return dict(sum=sum(map(int, argv)), pid=os.getpid())

    log = tmp_path / 'new' / 'step.log'
    result = _finish(Step('adding', main, ['1', '2'], str(log)))
    assert result['sum'] == 3 and result['pid'] != os.getpid()
    assert sorted(log.read_text().splitlines()) == [
        'from Python 1 2', 'from a shell', 'to stderr']
    shown = capfd.readouterr()
    assert shown.out == shown.err == ''


def test_large_and_empty_results(tmp_path):
    """A pipe holds 64 KiB: the result is taken before the end is awaited."""
    log = str(tmp_path / 'log')
    assert _finish(Step('large', lambda argv: 'x' * 10**6, [], log)) == (
        'x' * 10**6)
    assert _finish(Step('none', lambda argv: None, [], log)) is None
    assert _finish(Step('zero', lambda argv: 0, [], log)) == 0


def test_environment_is_the_steps_own(tmp_path, monkeypatch):
    monkeypatch.setenv('KEPT', 'as it is')
    monkeypatch.delenv('SHOTS', raising=False)
    step = Step('env', lambda argv: dict(os.environ), [],
                str(tmp_path / 'log'), dict(SHOTS='4', KEPT='other'))
    found = _finish(step)
    assert (found['SHOTS'], found['KEPT']) == ('4', 'other')
    assert 'SHOTS' not in os.environ and os.environ['KEPT'] == 'as it is'


def test_threads(tmp_path):
    import torch
    before = torch.get_num_threads()
    step = Step('threads', lambda argv: torch.get_num_threads(), [],
                str(tmp_path / 'log'), threads=before + 2)
    assert _finish(step) == before + 2
    assert torch.get_num_threads() == before


def test_failure_has_the_end_of_the_log(tmp_path):
    def main(argv):
        for i in range(100):
            print(f'line {i}.')
        raise ValueError('the reason')

    log = tmp_path / 'step.log'
    with pytest.raises(UserError) as caught:
        run_step('counting', main, [], str(log))
    said = str(caught.value)
    assert 'ValueError: the reason' in said and 'line 99.' in said
    assert 'line 50.' not in said and 'line 50.' in log.read_text()
    assert said.endswith(f'counting failed; its whole log is {log}')


@pytest.mark.parametrize('end', [
    lambda argv: sys.exit('bad option'), lambda argv: os._exit(7),
    lambda argv: lambda: 'no pickle'])
def test_ends_without_a_result_are_failures(tmp_path, end):
    with pytest.raises(UserError, match='step failed'):
        _finish(Step('step', end, [], str(tmp_path / 'log')))


def test_killed_from_outside(tmp_path):
    """As by Linux when memory runs out."""
    def main(argv):
        print('so far', flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    step = Step('big', main, [], str(tmp_path / 'log'))
    with pytest.raises(UserError, match=r'(?s)so far.*big was ended by '
                       r'SIGKILL \(out of memory\?\); its whole log'):
        _finish(step)
    assert step.killed


def test_progress(tmp_path):
    step = Step('s', lambda argv: None, [], str(tmp_path / 'log'))
    _finish(step)
    assert step.progress() == 'starting'
    Path(step.log_file).write_text(
        'x Epoch(train)  [1][10/47]  lr: 1e-3  eta: 0:09:02  loss: 2\n'
        'x Epoch(train)  [3][20/47]  lr: 1e-3  eta: 0:01:02  loss: 1\n'
        'something else\n')
    assert step.progress() == 'train [3][20/47], 0:01:02 left'
    with open(step.log_file, 'a') as file:
        file.write('x Epoch(val) [3][9/9]    acc/top1: 0.5\n')
    assert step.progress() == 'val [3][9/9]'


def _with_children(folder):
    """A step with a data worker and a launcher, which go on for a minute."""

    def main(argv):
        worker = os.fork()
        if not worker:
            time.sleep(60)
            os._exit(0)
        shell = subprocess.Popen(['bash', '-c', 'sleep 60; true'])
        Path(folder, 'part').write_text(f'{os.getpid()} {worker} {shell.pid}')
        os.replace(Path(folder, 'part'), Path(folder, 'pids'))
        time.sleep(60)

    return main


def test_stop_ends_all_its_processes(tmp_path):
    step = Step('s', _with_children(tmp_path), [], str(tmp_path / 'log'))
    pids = _wait_for(tmp_path / 'pids').split()
    assert step.running(0)
    step.stop()
    assert len(pids) == 3 and all(_gone(int(pid)) for pid in pids)
    step.stop()  # twice does no harm
    assert not step.running(0)


def test_stop_right_after_the_start(tmp_path):
    for _ in range(5):
        step = Step('s', lambda argv: time.sleep(60), [],
                    str(tmp_path / 'log'))
        step.stop()
        assert _gone(step.process.pid)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGHUP])
def test_interrupted_tool_leaves_nothing_behind(tmp_path, number):
    tool = multiprocessing.get_context('fork').Process(
        target=run_step, args=('long', _with_children(tmp_path), [],
                               str(tmp_path / 'log')))
    tool.start()
    try:
        pids = _wait_for(tmp_path / 'pids').split()
        os.kill(tool.pid, number)
        tool.join(20)
        assert tool.exitcode == (1 if number == signal.SIGINT else
                                 128 + number)
        assert all(_gone(int(pid)) for pid in pids)
    finally:
        tool.kill()
        tool.join()


def test_signals_are_put_back(monkeypatch):
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            with pytest.raises(SystemExit) as caught:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
            assert caught.value.code == 143
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, ignored)
