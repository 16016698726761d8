"""``vifi-clip``: its commands, their help, what they load and how they end;
and one step of a longer job: a process with a log and a result."""
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest
import torch
from commands import refused, vifi
from mmengine.logging import MMLogger
from tools_world import REPO
from tqdm import tqdm

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import write_text
from projects.vifi_clip.version import __version__
from projects.vifi_clip_tools.cli.main import COMMANDS, Command, prepare
from projects.vifi_clip_tools.cli.processes import (Step, ended_by_signals,
                                                    run_step)


def test_overview(capsys):
    assert vifi('--help') == 0
    text = capsys.readouterr().out
    rows = re.findall(r'^  ([a-z-]+) {2,}\S.*$', text, re.M)
    assert [row for row in rows if row in COMMANDS] == list(COMMANDS)
    assert vifi('--version') == vifi('--root') == 0
    assert capsys.readouterr().out == (
        f'vifi-clip {__version__}\n{REPO.resolve()}\n')


@pytest.mark.parametrize('word, near', [
    ('trian', "'train'"), ('mini_world', "'mini-world'"), ('--hepl', ''),
    ('', '')])
def test_unknown_command(capsys, word, near):
    said = refused(capsys, word, names=[repr(word), near])
    assert said.count('\n') == 1 and bool(near) == ('did you mean' in said)


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_a_command(capsys, name):
    assert vifi(name, '--help') == 0
    assert capsys.readouterr().out.startswith(f'usage: vifi-clip {name} ')
    refused(capsys, name, '--no-such-option', names=f'vifi-clip {name}: ')


@pytest.fixture
def command(monkeypatch):
    """Function of a function: run it as a command; the exit code."""

    def call(run) -> int:
        module = ModuleType('projects.vifi_clip_tools.fake')
        module.parse_args, module.run = lambda argv: argv, run
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, 'fake', Command('', '', 'fake'))
        return vifi('fake', 'a')

    return call


@pytest.mark.parametrize('run, code, said', [
    (lambda options: None, 0, ''), (lambda options: 1, 1, ''),
    (lambda options: open('/not/there'), 2, "error: [Errno 2] No such file "
     "or directory: '/not/there'\n"),
    (lambda options: {}['no key'], 2, 'error: no key\n'),
    (Mock(side_effect=UserError('mend it')), 2, 'error: mend it\n'),
    # of a data worker
    (Mock(side_effect=UserError('Caught UserError in DataLoader worker 0.\n'
                                'Original ...\nx.UserError: mend it')), 2,
     'error: mend it\n'),
    # of a step whose log ends in another's
    (Mock(side_effect=UserError('x.UserError: a\n\n1 run failed')), 2,
     'error: x.UserError: a\n\n1 run failed\n'),
    (Mock(side_effect=KeyboardInterrupt), 130, '\ninterrupted\n')])
def test_exit_codes(command, capsys, run, code, said):
    assert command(run) == code and capsys.readouterr().err == said


def test_tracebacks_and_processes(command, monkeypatch, capsys):
    """An error is said by the first process; a fault of ours keeps its
    traceback, others show it on demand."""
    with pytest.raises(RuntimeError):
        command(Mock(side_effect=RuntimeError('UserError: bad')))
    monkeypatch.setenv('RANK', '1')
    assert command(lambda options: open('/not/there')) == 2
    assert not capsys.readouterr().err
    monkeypatch.setenv('VIFI_TRACEBACK', '1')
    with pytest.raises(FileNotFoundError):
        command(lambda options: open('/not/there'))


@pytest.mark.parametrize('error', [
    ImportError('libtorch_cpu.so: failed to map segment from shared object'),
    ImportError('torch cannot be imported again after a failed import'),
    MemoryError(), RuntimeError("can't start new thread"),
    OSError(12, 'Cannot allocate memory')], ids=str)
def test_too_little_address_space(command, monkeypatch, capsys, error):
    fail = Mock(side_effect=error)
    monkeypatch.setattr('resource.getrlimit', lambda kind: (2 * 10**9, -1))
    assert command(fail) == 2
    said = capsys.readouterr().err
    assert 'ulimit -v allows 2.0 GB' in said and said.count('\n') == 1
    monkeypatch.setattr('resource.getrlimit', lambda kind: (-1, -1))
    if isinstance(error, OSError):
        assert command(fail) == 2
        assert 'ulimit' not in capsys.readouterr().err
    else:
        with pytest.raises(type(error)):
            command(fail)


NASTY = 'a\x1b]0;x\x07\x1b[2J\x9b\x00\x08\u202e\udcff\rb'
CLEAN = 'a?]0;x??[2J??????b'


def test_names_do_not_drive_a_terminal(command, capsys, tmp_path):
    """Neither printed and logged, nor in a progress bar or an
    error; nor do they break what cannot hold them."""

    def run(options):
        print(NASTY)
        sys.stdout.writelines([NASTY])
        logger = MMLogger('nasty', log_file=str(tmp_path / 'log'))
        logger.warning(f'logged %s {NASTY}', NASTY)
        for _ in tqdm([1], desc=NASTY):
            tqdm.write(NASTY, file=sys.stderr)
        raise ValueError(NASTY)

    assert command(run) == 2
    out, err = capsys.readouterr()
    log = (tmp_path / 'log').read_text()
    assert out.splitlines()[0] == CLEAN
    assert log.count(f'logged {CLEAN} {CLEAN}') == 1
    assert f'\r{CLEAN}: 100%' in err
    assert err.endswith(f'\nerror: {CLEAN}\n')
    for text in out, err.replace('\r', ''), log:
        assert text.replace('\n', '').isprintable()


def test_a_traceback_does_not_drive_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'excepthook', None)
    with pytest.raises(RuntimeError) as error:
        command(Mock(side_effect=RuntimeError(NASTY)))
    sys.excepthook(*error._excinfo)
    assert capsys.readouterr().err.endswith(f'RuntimeError: {CLEAN}\n')


def test_output_that_holds_little(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(
        io.BytesIO(), 'ascii', write_through=True))
    assert command(lambda options: print('größe')) == 0
    assert sys.stdout.buffer.getvalue() == b'gr??e\n'


def test_long_messages_are_shortened(command, capsys):
    assert command(Mock(side_effect=ValueError(f'{"a" * 9**6}the end'))) == 2
    said = capsys.readouterr().err
    assert said.startswith('error: aaa') and said.endswith('aaathe end\n')
    assert len(said) < 3000


def test_a_pipe_of_our_own_is_no_closed_output(command):
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        command(lambda options: os.write(write, b'x'))
    os.close(write)


@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_closed_output(unbuffered):
    read, write = os.pipe()
    os.close(read)  # as head -0
    done = subprocess.run(
        [sys.executable, '-m', 'projects.vifi_clip_tools', '--help'],
        stdout=write, stderr=subprocess.PIPE, timeout=60, cwd=REPO,
        env=dict(os.environ, PYTHONUNBUFFERED=unbuffered))
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b'')


_WRONG = '''
import sys
from projects.vifi_clip_tools.cli.main import main
code = main(sys.argv[1:])
sys.exit(99 if 'torch' in sys.modules or 'mmengine' in sys.modules else code)
'''


@pytest.mark.parametrize('words, said', [
    ('train vifi_few_shot', 'SHOTS'), ('test vifi_few_shot none', 'SHOTS'),
    ('predict my.mp4 --config vifi_few_shot', 'SHOTS'),
    ('predict my.mp4 --config vifi_few_shots', 'vifi_few_shot')])
def test_a_wrong_knob_or_config_is_said_before_the_long_imports(words, said):
    done = subprocess.run(
        [sys.executable, '-c', _WRONG, *words.split()], timeout=60, cwd=REPO,
        capture_output=True, text=True, env=dict(os.environ, SHOT='4'))
    assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize('closed, printed', [
    ('>&-', b''), ('<&- 2>&-', b'vifi-clip '), ('<&- >&- 2>&-', b'')])
def test_streams_that_are_closed(closed, printed):
    """As a service may start it; files do not get their numbers."""
    code = '''
import os, sys
from projects.vifi_clip_tools.cli.main import main
code = main(['--version']) or main(['--no-such']) - 2
os._exit(code or os.open(os.devnull, os.O_RDONLY) < 3)
'''
    done = subprocess.run(['sh', '-c', f'"$0" -c "$1" {closed}',
                           sys.executable, code], capture_output=True,
                          timeout=60, cwd=REPO)
    assert done.returncode == 0 and done.stdout.startswith(printed)
    assert done.stderr.startswith(b'error: ') != ('2>' in closed)


_START = '''
import ctypes, resource, sys
from projects.vifi_clip_tools.cli.main import main, prepare

def faults():
    """Pages that 20 large blocks, each freed at once, cost anew."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = libc.free.argtypes = [ctypes.c_size_t]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        block = libc.malloc(2**26)
        libc.memset(block, 1, 2**26)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for argv in ['--help'], ['train', '--help'], ['predict', '--help']:
    try:
        main(argv)
    except SystemExit:
        pass
heavy = {'numpy', 'torch', 'mmengine', 'mmaction', 'projects.vifi_clip'}
plain = faults()
prepare()
print('HEAVY', *sorted(heavy & set(sys.modules)), 'FAULTS', plain, faults())
'''


def test_a_start_without_what_is_heavy():
    """Help loads no torch, and freed memory is kept from then on."""
    environ = {name: value for name, value in os.environ.items()
               if not name.startswith(('MALLOC_', 'GLIBC_'))}
    done = subprocess.run([sys.executable, '-c', _START], cwd=REPO, text=True,
                          capture_output=True, timeout=60, env=environ)
    heavy, plain, ours = re.search(r'HEAVY(.*) FAULTS (\d+) (\d+)',
                                   done.stdout).groups()
    assert not heavy, done.stderr
    if 'glibc' in (os.confstr('CS_GNU_LIBC_VERSION') or ''):
        # 20 blocks are touched anew, or the first one only
        assert int(plain) > 10 * int(ours)


@pytest.mark.parametrize('given, added', [
    (dict(MALLOC_TOP_PAD_='1'), {'OMP_WAIT_POLICY'}),
    (dict(GLIBC_TUNABLES='glibc.malloc.trim=3', OMP_WAIT_POLICY='ACTIVE'),
     set())])
def test_what_the_user_set_stays(given, added):
    environ = dict(given)
    prepare(environ)
    assert set(environ) - set(given) == added
    assert all(environ[name] == value for name, value in given.items())


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

    step = Step('step', main, ['1', '\x1b[2m'], str(tmp_path / 'new/log'),
                threads=threads + 2, environ=dict(KEPT='other'))
    while step.running(0.05):
        pass
    kept, of_step, pid, text = step.finish()
    assert text == 'x' * 10**6
    assert pid != os.getpid() and sorted(
        (tmp_path / 'new/log').read_text().splitlines()) == [
            'from Python 1 ?[2m', 'from a shell', 'to stderr']
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
