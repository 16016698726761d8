"""``vifi-clip``: its commands, their help and their exit codes."""
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from tools_world import REPO

from projects.vifi_clip.version import __version__
from projects.vifi_clip_tools.cli.main import main
from projects.vifi_clip_tools.cli.commands import COMMANDS
from projects.vifi_clip_tools.cli.start import PACKAGE


@pytest.fixture
def said(monkeypatch, capsys):
    """Function of the command line: exit code, stdout, stderr."""
    monkeypatch.setenv('COLUMNS', '80')

    def call(*argv):
        monkeypatch.setattr(sys, 'argv', ['vifi-clip', *argv])
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        return (code, *capsys.readouterr())

    return call


def _run(*command, **environ) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True,
        timeout=120, env={**os.environ, 'PYTHONPATH': str(REPO), **environ})


def test_overview(said):
    code, text, _ = said('--help')
    assert code == 0 and said() == (0, text, '')
    rows = re.findall(r'^  ([a-z-]+) {2,}\S.*$', text, re.M)
    assert [row for row in rows if row in COMMANDS] == list(COMMANDS)
    headings = re.findall(r'^\S.*', text, re.M)
    assert set(headings) >= {c.group for c in COMMANDS.values()}
    assert max(map(len, text.splitlines())) <= 79
    for code in '0', '1', '2', '130', '141':
        assert re.search(rf'^  {code} +\w', text, re.M)


def test_version_and_root(said):
    assert said('--version') == (0, f'vifi-clip {__version__}\n', '')
    assert said('--root') == (0, f'{REPO.resolve()}\n', '')


@pytest.mark.parametrize('word, near', [
    ('trian', "'train'"), ('bench_decode', "'bench-decode'"),
    ('predcit', "'predict'"), ('--hepl', None), ('zzz', None), ('', None)])
def test_unknown_command(said, word, near):
    code, out, error = said(word)
    assert (code, out) == (2, '')
    assert error.startswith(f'error: there is no command {word!r}; ')
    assert error.count('\n') == 1 and 'vifi-clip --help' in error
    found = re.search("did you mean (.*?)[?]", error)
    assert (found and found[1]) == near


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_a_command(said, name):
    code, text, _ = said(name, '--help')
    assert code == 0
    assert text.startswith(f'usage: vifi-clip {name} ')
    examples = text[text.lower().index('\nexample'):]
    assert f'vifi-clip {name}' in examples
    wide = [line for line in text.splitlines() if len(line) > 80]
    assert not wide, wide


@pytest.mark.parametrize('name', COMMANDS)
def test_a_wrong_option(said, name):
    code, out, error = said(name, '--no-such-option')
    assert (code, out) == (2, '') and f'vifi-clip {name}: error: ' in error


def test_tools_are_the_commands():
    started = {
        path.name: re.findall(r"sys\.exit\(start\('(.+)'\)\)$",
                              path.read_text(), re.M)
        for path in (REPO / 'tools').glob('[a-z]*.py')
    }
    assert sorted(started.values()) == [[name] for name in sorted(COMMANDS)]
    modules = {c.module for c in COMMANDS.values()}
    apis = {f'apis.{path.stem}'
            for path in (REPO / 'projects/vifi_clip/apis').glob('*.py')
            if re.search('^def parse_args', path.read_text(), re.M)}
    assert apis == {m for m in modules if m.startswith('apis.')}


def test_as_a_tool_it_has_the_name_of_the_file():
    done = _run(REPO / 'tools/bench_decode.py', '--help')
    assert done.stdout.startswith('usage: bench_decode.py ')
    done = _run('-m', f'{PACKAGE}_cli', 'bench-decode', '--help')
    assert done.stdout.startswith('usage: vifi-clip bench-decode ')


def test_as_a_module_of_the_package(said, monkeypatch, capsys):
    """Here the registries are filled before the options are read."""
    plain = said('scale', '--frames', '8')
    assert plain[0] == 0 and 'TFLOP' in plain[1]
    monkeypatch.setattr(sys, 'argv', ['x', 'scale', '--frames', '8'])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(PACKAGE, run_name='__main__')
    assert (caught.value.code, *capsys.readouterr()) == plain


# A command that does what argv[1] says, started as all are.
_COMMAND = '''
import os, signal, sys, types
from projects.vifi_clip_tools.cli import commands, start
name = 'projects.vifi_clip.apis.fake'
module = types.ModuleType(name)
module.parse_args = lambda argv=None: None
what = {
    'done': lambda argv: {'acc': 1.0},
    'input': lambda argv: open('/does/not/exist'),
    'key': lambda argv: {}['no key'],
    'bug': lambda argv: 1 / 0,
    'partly': lambda argv: sys.exit(1),
    'ctrl-c': lambda argv: os.kill(os.getpid(), signal.SIGINT),
    'pipe': lambda argv: [print('x' * 999) for _ in range(999)],
}

def other_pipe(argv):
    read, write = os.pipe()
    os.close(read)
    os.write(write, b'x')

what['other pipe'] = other_pipe
module.main = what[sys.argv[1]]
start.bare('projects.vifi_clip')
sys.modules[name] = module
commands.COMMANDS['fake'] = commands.Command('', '', 'apis.fake', fill=False)
sys.exit(start.start('fake'))
'''


@pytest.mark.parametrize('what, code, words', [
    ('done', 0, ''),
    ('input', 2, "error: [Errno 2] No such file or directory: "
     "'/does/not/exist'\n"),
    ('key', 2, 'error: no key\n'), ('partly', 1, ''),
    ('ctrl-c', 130, '\ninterrupted\n')])
def test_exit_codes(what, code, words):
    done = _run('-c', _COMMAND, what)
    assert (done.returncode, done.stderr) == (code, words)


@pytest.mark.parametrize('what, words', [
    ('bug', 'ZeroDivisionError'), ('other pipe', 'BrokenPipeError')])
def test_faults_of_ours_have_a_traceback(what, words):
    done = _run('-c', _COMMAND, what)
    assert done.returncode == 1
    assert 'Traceback' in done.stderr and words in done.stderr


def test_traceback_on_demand():
    done = _run('-c', _COMMAND, 'input', VIFI_TRACEBACK='1')
    assert done.returncode == 1 and 'Traceback' in done.stderr


@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_closed_pipe(unbuffered):
    process = subprocess.Popen(
        [sys.executable, '-c', _COMMAND, 'pipe'], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=str(REPO),
                 PYTHONUNBUFFERED=unbuffered))
    process.stdout.readline()
    process.stdout.close()  # as head -1
    assert process.stderr.read() == '' and process.wait(60) == 141
    process.stderr.close()


def test_interrupted_while_it_starts(tmp_path):
    """Ctrl-C in the seconds of imports, before a tool's own code runs."""
    (tmp_path / 'mmengine.py').write_text(
        'import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n')
    path = os.pathsep.join([str(tmp_path), str(REPO)])
    done = _run('-m', f'{PACKAGE}_cli', 'test', 'vifi_k400', 'none',
                PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (130, '\ninterrupted\n')


def test_every_command_has_its_module():
    for command in COMMANDS.values():
        path = Path(REPO, *PACKAGE.split('.'), *command.module.split('.'))
        assert path.with_suffix('.py').is_file()
