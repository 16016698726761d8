"""``vifi-clip``: its commands, their help, what they load and how they end."""
import os
import re
import subprocess
import sys
from platform import libc_ver
from types import ModuleType
from unittest.mock import Mock

import pytest
from commands import refused, vifi
from tools_world import REPO

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.version import __version__
from projects.vifi_clip_tools.cli.commands import COMMANDS, Command
from projects.vifi_clip_tools.cli.environment import MALLOC, prepare


@pytest.fixture(autouse=True)
def _width(monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')


def test_overview(capsys):
    assert vifi('--help') == 0
    text = capsys.readouterr().out
    rows = re.findall(r'^  ([a-z-]+) {2,}\S.*$', text, re.M)
    assert [row for row in rows if row in COMMANDS] == list(COMMANDS)
    assert set(re.findall(r'^\S.*', text, re.M)) >= {
        c.group for c in COMMANDS.values()}
    assert max(map(len, text.splitlines())) <= 79
    assert vifi('--version') == vifi('--root') == 0
    assert capsys.readouterr().out == (
        f'vifi-clip {__version__}\n{REPO.resolve()}\n')


@pytest.mark.parametrize('word', ['trian', '--hepl', ''])
def test_unknown_command(capsys, word):
    assert refused(capsys, word, names=repr(word)).count('\n') == 1


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_a_command(capsys, name):
    assert vifi(name, '--help') == 0
    text = capsys.readouterr().out
    assert text.startswith(f'usage: vifi-clip {name} ')
    examples = text[text.lower().index('\nexample'):]
    assert f'vifi-clip {name}' in examples
    assert max(map(len, text.splitlines())) <= 80
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
    (Mock(side_effect=UserError('Traceback ...\nx.UserError: mend it')), 2,
     'error: mend it\n'),
    (Mock(side_effect=KeyboardInterrupt), 130, '\ninterrupted\n')])
def test_exit_codes(command, capsys, run, code, said):
    assert command(run) == code and capsys.readouterr().err == said


def test_a_fault_of_ours_keeps_its_traceback(command):
    with pytest.raises(RuntimeError):
        command(Mock(side_effect=RuntimeError('UserError: bad')))


def test_tracebacks_and_processes(command, monkeypatch, capsys):
    """An error is said by the first process; its traceback on demand."""
    monkeypatch.setenv('RANK', '1')
    assert command(lambda options: open('/not/there')) == 2
    assert not capsys.readouterr().err
    monkeypatch.setenv('VIFI_TRACEBACK', '1')
    with pytest.raises(FileNotFoundError):
        command(lambda options: open('/not/there'))


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


_START = '''
import sys
from projects.vifi_clip_tools.cli.main import main
for argv in ['--help'], ['train', '--help'], ['predict', '--help']:
    try:
        main(argv)
    except SystemExit:
        pass
heavy = {'numpy', 'torch', 'mmengine', 'mmaction', 'projects.vifi_clip'}
print('HEAVY', *heavy & set(sys.modules))
'''


def test_help_loads_no_torch():
    done = subprocess.run([sys.executable, '-c', _START], cwd=REPO, text=True,
                          capture_output=True, timeout=60)
    assert done.stdout.endswith('\nHEAVY\n'), done.stderr


@pytest.mark.parametrize('given, added', [
    pytest.param({}, {'OMP_WAIT_POLICY', *(row[0] for row in MALLOC)},
                 marks=pytest.mark.skipif(libc_ver()[0] != 'glibc',
                                          reason='is for glibc')),
    (dict(MALLOC_TOP_PAD_='1'), {'OMP_WAIT_POLICY'}),
    (dict(GLIBC_TUNABLES='glibc.malloc.trim=3', OMP_WAIT_POLICY='ACTIVE'),
     set())])
def test_what_the_user_set_stays(given, added):
    environ = dict(given)
    prepare(environ)
    assert set(environ) - set(given) == added
    assert all(environ[name] == value for name, value in given.items())
