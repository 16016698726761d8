"""The executor, with tools that only write down what they were told."""
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.paper import execute
from projects.vifi_clip_tools.paper.execute import Executor
from projects.vifi_clip_tools.paper.layout import Layout, wanted_knobs
from projects.vifi_clip_tools.paper.runs import Run

SHOWN = ('TUNE', 'SHOTS', 'PRETRAINED', 'DATA_ROOT')


def _run(name, uses=None, **kwargs):
    knobs = dict(TUNE='none' if not (kwargs.get('train', True) or uses)
                 else 'both')
    return Run(name, 'vifi_few_shot', knobs, uses=uses, **kwargs)


class Tools:
    """Stand-ins for tools/train.py and tools/test.py.

    A line for each call goes to a file, since calls are in other processes.
    A file ``fail`` or ``slow`` in a run's folder says what happens there.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / 'calls'

    def write(self, **line) -> None:
        with open(self.file, 'a') as file:
            file.write(json.dumps(line) + '\n')

    def calls(self, *keys):
        lines = [json.loads(x) for x in self.file.read_text().splitlines()]
        return [tuple(line[key] for key in keys) for line in lines]

    def behave(self, folder: Path, tool: str) -> None:
        (folder / 'slow').exists() and time.sleep(60)
        if (folder / f'fail_{tool}').exists():
            raise UserError(f'{tool} of {folder.name} fails')

    def train(self, argv) -> None:
        folder = Path(argv[argv.index('--work-dir') + 1])
        name = str(folder.relative_to(self.root))
        self.write(tool='train', name=name, at=time.time(), pid=os.getpid(),
                   environ={k: os.environ.get(k) for k in SHOWN})
        (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
        self.behave(folder, 'train')
        time.sleep(0.3)
        (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
        self.write(tool='trained', name=name, at=time.time())

    def test(self, argv) -> None:
        folder = Path(argv[argv.index('--work-dir') + 1])
        self.write(tool='test', name=str(folder.relative_to(self.root)),
                   checkpoint=argv[1], at=time.time())
        self.behave(folder, 'test')
        target = Path(argv[argv.index('--metrics') + 1])
        target.write_text(json.dumps(dict(
            config=Path(argv[0]).name,
            knobs=wanted_knobs(_run('x', train=argv[1] != 'none')),
            metrics={})))


@pytest.fixture
def tools(tmp_path, monkeypatch):
    tools = Tools(tmp_path)
    monkeypatch.setitem(execute._TOOLS, 'train', tools.train)
    monkeypatch.setitem(execute._TOOLS, 'test', tools.test)
    return tools


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path))


def _execute(layout, runs, jobs=1, environ=None):
    return Executor(layout, 1, jobs, environ or {}).run(
        [run for run in runs if not layout.finished(run)])


def _flag(layout, name, flag):
    path = Path(layout.folder(name), flag)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_each_after_what_it_uses(layout, tools, tmp_path, capsys):
    runs = [_run('early', uses='bridge'), _run('bridge', test=False),
            _run('zero', uses='bridge', train=False),
            _run('frozen', train=False)]
    assert _execute(layout, runs, environ=dict(DATA_ROOT='/data')) == {}
    bridge = f'{tmp_path}/bridge/epoch_2.pth'
    told = [call for call in tools.calls('tool', 'name')
            if call[0] != 'trained']
    assert told == [('train', 'bridge'), ('train', 'early'),
                    ('test', 'early'), ('test', 'zero'), ('test', 'frozen')]
    lines = [json.loads(x) for x in tools.file.read_text().splitlines()]
    tested = {x['name']: x['checkpoint'] for x in lines
              if x['tool'] == 'test'}
    assert tested == dict(early=f'{tmp_path}/early/epoch_2.pth', zero=bridge,
                          frozen='none')
    trained = {x['name']: x['environ'] for x in lines if x['tool'] == 'train'}
    assert trained['bridge'] == dict(TUNE='both', SHOTS=None, PRETRAINED=None,
                                     DATA_ROOT='/data')
    assert trained['early']['PRETRAINED'] == bridge
    assert 'TUNE' not in os.environ and all(map(layout.finished, runs))
    shown = capsys.readouterr().out
    assert '[  4/4]' in shown and shown.count('done in') == 4


def test_finished_runs_are_left_alone(layout, tools):
    runs = [_run('a'), _run('b', uses='a')]
    _execute(layout, runs)
    before = tools.file.read_text()
    assert _execute(layout, runs) == {} and tools.file.read_text() == before


def test_two_at_a_time(layout, tools):
    runs = [_run(name, test=False) for name in 'abcd']
    assert _execute(layout, runs, jobs=2) == {}
    active, most = set(), 0
    for tool, name, _ in sorted(tools.calls('tool', 'name', 'at'),
                                key=lambda call: call[2]):
        (active.add if tool == 'train' else active.discard)(name)
        most = max(most, len(active))
    assert most == 2
    assert len({call for call in tools.calls('tool', 'name')}) == 8


def test_failure_goes_on(layout, tools, capsys):
    runs = [_run('bad'), _run('after', uses='bad'),
            _run('last', uses='after'), _run('good')]
    flag = _flag(layout, 'bad', 'fail_train')
    failed = _execute(layout, runs, jobs=2)
    assert failed['bad'].endswith('UserError: train of bad fails')
    assert failed['after'] == 'bad, which it needs, failed'
    assert failed['last'] == 'after, which it needs, failed'
    assert set(failed) == {'bad', 'after', 'last'}
    assert layout.finished(runs[3])
    shown = capsys.readouterr().out
    assert '[  4/4]' in shown and 'bad/run.log' in shown
    assert shown.count('left out') == 2
    flag.unlink()  # mended: only what is not finished runs again
    assert _execute(layout, runs) == {}
    assert tools.calls('tool', 'name').count(('train', 'good')) == 1


def test_failed_test_does_not_train_again(layout, tools, tmp_path):
    flag = _flag(layout, 'a', 'fail_test')
    assert list(_execute(layout, [_run('a')])) == ['a']
    flag.unlink()
    assert _execute(layout, [_run('a')]) == {}
    assert [name for name, in tools.calls('tool')] == [
        'train', 'trained', 'test', 'test']


def test_unfinished_training_goes_on(layout, tools, tmp_path):
    """And the test takes the checkpoint of its end."""
    flag = _flag(layout, 'a', 'fail_train')
    _execute(layout, [_run('a')])
    assert (tmp_path / 'a/last_checkpoint').read_text().endswith('epoch_1.pth')
    flag.unlink()
    assert _execute(layout, [_run('a')]) == {}
    checkpoints = [json.loads(line).get('checkpoint') for line in
                   tools.file.read_text().splitlines()]
    assert checkpoints[-1] == f'{tmp_path}/a/epoch_2.pth'


def test_lost_checkpoint_is_an_error(layout, tools, tmp_path):
    _execute(layout, [_run('a', test=False)])
    (tmp_path / 'a/last_checkpoint').unlink()
    failed = _execute(layout, [_run('b', uses='a'),
                               _run('c', uses='a', train=False)])
    assert set(failed) == {'b', 'c'}
    for why in failed.values():
        assert 'there is no checkpoint' in why
    assert len(tools.calls('tool')) == 2


def test_reason_of_a_run_that_is_killed(layout, tools, monkeypatch):
    monkeypatch.setitem(execute._TOOLS, 'train', lambda argv: os.kill(
        os.getpid(), signal.SIGKILL))
    failed = _execute(layout, [_run('a')])
    assert 'SIGKILL (out of memory?)' in failed['a']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_the_runs(layout, tools, tmp_path, number):
    runs = [_run(name) for name in 'abc']
    flags = [_flag(layout, name, 'slow') for name in 'ab']
    matrix = multiprocessing.get_context('fork').Process(
        target=_execute, args=(layout, runs, 2))
    matrix.start()
    try:
        for _ in range(200):
            if tools.file.exists() and len(tools.calls('tool')) == 2:
                break
            time.sleep(0.05)
        pids = [pid for pid, in tools.calls('pid')]
        assert len(pids) == 2
        os.kill(matrix.pid, number)
        matrix.join(20)
        assert matrix.exitcode not in (None, 0)
    finally:
        matrix.kill()
        matrix.join()
    for pid in pids:
        for _ in range(100):
            state = Path(f'/proc/{pid}/stat')
            if not state.exists() or ') Z' in state.read_text():
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f'{pid} goes on')
    assert not any(map(layout.finished, runs))
    for flag in flags:
        flag.unlink()
    assert _execute(layout, runs, jobs=2) == {}
    assert all(map(layout.finished, runs))


def test_several_gpus_run_the_shell_commands(layout, tmp_path, monkeypatch):
    said = []

    def script(run, layout, gpus):
        said.append((run.name, gpus))
        return 'echo "TUNE is $TUNE"; exit ' + '03'[run.name == 'bad']

    monkeypatch.setattr(execute, 'shell_script', script)
    failed = Executor(layout, 8, 1, {}).run([_run('good'), _run('bad')])
    assert failed['bad'].endswith('UserError: it ended with exit code 3')
    assert set(failed) == {'bad'}
    assert (tmp_path / 'good/run.log').read_text() == 'TUNE is both\n'
