"""One step of a longer job: a process with a log and a result."""
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import write_text
from projects.vifi_clip_tools.cli.processes import (Step, ended_by_signals,
                                                    run_step)


def _wait_for(answer):
    """What a function returns as soon as that is true."""
    end = time.monotonic() + 20
    while not (value := answer()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def _gone(pid: str) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state.split()[0] in 'ZX'


def test_result_and_log(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv('KEPT', 'as it is')
    threads = torch.get_num_threads()

    def main(argv):
        print('from Python', *argv)
        os.system('echo from a shell')
        print('to stderr', file=sys.stderr)
        # a pipe holds 64 KiB: the result is taken before the end is awaited
        return (os.environ['KEPT'], torch.get_num_threads(), os.getpid(),
                'x' * 10**6)

    step = Step('step', main, ['1', '2'], str(tmp_path / 'new/log'),
                threads=threads + 2, environ=dict(KEPT='other'))
    while step.running(0.05):
        pass
    kept, of_step, pid, text = step.finish()
    assert text == 'x' * 10**6
    assert pid != os.getpid() and sorted(
        (tmp_path / 'new/log').read_text().splitlines()) == [
            'from Python 1 2', 'from a shell', 'to stderr']
    assert capfd.readouterr() == ('', '')
    assert (kept, of_step) == ('other', threads + 2)
    assert os.environ['KEPT'] == 'as it is'
    assert torch.get_num_threads() == threads


def _fail(argv):
    for i in range(100):
        print(f'line {i}.')
    raise ValueError('the reason')


@pytest.mark.parametrize('end, names', [
    (lambda argv: sys.exit('bad option'), 'bad option'),
    (lambda argv: os._exit(7), 'failed'),
    (lambda argv: lambda: 'no pickle', 'pickle'),
    (lambda argv: os.kill(os.getpid(), signal.SIGKILL), 'SIGKILL'),
    (_fail, 'ValueError: the reason')])
def test_failures(tmp_path, end, names):
    """The message has the end of the log, and its name."""
    log = tmp_path / 'step.log'
    with pytest.raises(UserError, match=names) as error:
        run_step('step', end, [], str(log))
    assert str(log) in str(error.value)
    assert 'line 50.' not in str(error.value)
    assert end is not _fail or 'line 50.' in log.read_text()


def test_progress(tmp_path):
    step = Step('s', lambda argv: None, [], str(tmp_path / 'log'))
    step.finish()
    assert step.progress() == 'starting' and not step.killed
    (tmp_path / 'log').write_text(
        'x Epoch(train)  [1][10/47]  lr: 1e-3  eta: 0:09:02  loss: 2\n'
        'x Epoch(train)  [3][20/47]  lr: 1e-3  eta: 0:01:02  loss: 1\n'
        'something else\n')
    assert step.progress() == 'train [3][20/47], 0:01:02 left'
    with open(step.log_file, 'a') as file:
        file.write('x Epoch(val) [3][9/9]    acc/top1: 0.5\n')
    assert step.progress() == 'val [3][9/9]'


@pytest.mark.parametrize('number, code', [
    (None, 0), (signal.SIGINT, 1), (signal.SIGTERM, 143),
    (signal.SIGHUP, 129)])
def test_nothing_is_left_behind(tmp_path, number, code):
    """Of a step with a data worker and a launcher, which would go on for a
    minute, if its tool stops it (None) or is itself ended by a signal."""
    pids, log = tmp_path / 'pids', str(tmp_path / 'log')

    def main(argv):
        worker = os.fork()
        if not worker:
            time.sleep(60)
            os._exit(0)
        shell = subprocess.Popen(['bash', '-c', 'sleep 60; true'])
        write_text(pids, f'{os.getpid()} {worker} {shell.pid}')
        time.sleep(60)

    def tool():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started pytest
        if number:
            run_step('long', main, [], log)
        step = Step('long', main, [], log)
        _wait_for(pids.exists)
        assert step.running(0)
        step.stop()
        step.stop()  # twice does no harm
        assert not step.running(0)
        early = Step('long', main, [], log)
        early.stop()  # before it has begun
        assert _gone(str(early.process.pid))

    process = multiprocessing.get_context('fork').Process(target=tool)
    process.start()
    try:
        numbers = _wait_for(lambda: pids.exists() and pids.read_text().split())
        assert len(numbers) == 3
        if number:
            os.kill(process.pid, number)
        process.join(20)
        assert process.exitcode == code
        for pid in numbers:
            _wait_for(lambda: _gone(pid))
    finally:
        process.kill()
        process.join()


def test_ignored_signals_stay_ignored():
    numbers = signal.SIGHUP, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            with pytest.raises(SystemExit) as end:
                signal.raise_signal(signal.SIGTERM)
            assert end.value.code == 143
        assert [signal.getsignal(number) for number in numbers] == [
            signal.SIG_IGN, before[1]]
    finally:
        signal.signal(signal.SIGHUP, before[0])
