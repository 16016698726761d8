"""The executor, with tools that only write down what they were told."""
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import refused, vifi
from matrix_world import write_record

from projects.vifi_clip_tools.paper import matrix, quickstart
from projects.vifi_clip_tools.paper.layout import Layout
from projects.vifi_clip_tools.paper.runs import Run, by_name
from projects.vifi_clip_tools.paper.tables import paper_tables

RUNS = by_name(paper_tables().values())
SHOWN = ('TUNE', 'SHOTS', 'PRETRAINED', 'DATA_ROOT')


def run_of(name, uses=None, **kwargs):
    knobs = dict(TUNE='none' if not (kwargs.get('train', True) or uses)
                 else 'both')
    return Run(name, 'vifi_few_shot', knobs, uses=uses, **kwargs)


class Tools:
    """Stand-ins for train and test.

    A line for each call goes to a file, since calls are in other processes.
    A file in a run's folder says what happens there.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout, self.file = layout, Path(layout.root, 'calls')

    def calls(self, *keys):
        lines = [json.loads(x) for x in self.file.read_text().splitlines()]
        return [tuple(line.get(key) for key in keys) for line in lines]

    def note(self, tool, argv, **more):
        folder = Path(argv[argv.index('--work-dir') + 1])
        name = str(folder.relative_to(self.layout.root))
        with open(self.file, 'a') as file:
            file.write(json.dumps(dict(tool=tool, name=name, pid=os.getpid(),
                                       **more)) + '\n')
        if (folder / 'slow').exists():
            time.sleep(60)
        if (folder / f'kill_{tool}').exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / f'fail_{tool}').exists():
            raise ValueError(f'{tool} of {folder.name} fails')
        return name

    def train(self, argv):
        marker = Path(argv[argv.index('--work-dir') + 1], 'last_checkpoint')
        marker.write_text(str(marker.with_name('epoch_1.pth')))
        self.note('train', argv, environ={k: os.environ.get(k)
                                          for k in SHOWN})
        time.sleep(0.2)
        marker.write_text(str(marker.with_name('epoch_2.pth')))
        self.note('trained', argv)

    def merge(self, argv):
        with open(self.file, 'a') as file:
            file.write(json.dumps(dict(tool='merge', checkpoint=argv[1])))
            file.write('\n')

    def test(self, argv):
        name = self.note('test', argv, checkpoint=argv[1])
        write_record(self.layout, RUNS.get(name) or run_of(
            name, train=argv[1] != 'none'), {})


@pytest.fixture
def tools(layout, monkeypatch):
    Path(layout.root).mkdir()
    tools = Tools(layout)
    monkeypatch.setitem(matrix.TOOLS, 'train', tools.train)
    monkeypatch.setitem(matrix.TOOLS, 'test', tools.test)
    monkeypatch.setitem(matrix.TOOLS, 'merge', tools.merge)
    return tools


def execute_runs(layout, runs, jobs=1, environ=None):
    return matrix.Executor(layout, 1, jobs, environ or {}).run(
        [run for run in runs if not layout.finished(run)])


def flag(layout, name, what):
    path = Path(layout.path(name, what))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_each_after_what_it_uses(layout, tools, capsys):
    runs = [run_of('early', uses='bridge'), run_of('bridge', test=False),
            run_of('zero', uses='bridge', train=False),
            run_of('frozen', train=False)]
    assert execute_runs(layout, runs, environ=dict(DATA_ROOT='/data')) == {}
    root, bridge = layout.root, f'{layout.root}/bridge/epoch_2.pth'
    assert [call for call in tools.calls('tool', 'name', 'checkpoint')
            if call[0] != 'trained'] == [
        ('train', 'bridge', None), ('train', 'early', None),
        ('test', 'early', f'{root}/early/epoch_2.pth'),
        ('test', 'zero', bridge), ('test', 'frozen', 'none')]
    environ = dict(call for call in tools.calls('name', 'environ') if call[1])
    assert environ['bridge'] == dict(TUNE='both', SHOTS=None, PRETRAINED=None,
                                     DATA_ROOT='/data')
    assert environ['early']['PRETRAINED'] == bridge
    assert 'TUNE' not in os.environ and all(map(layout.finished, runs))
    shown = capsys.readouterr().out
    assert '[  4/4]' in shown and shown.count('done in') == 4
    before = tools.calls('tool')
    assert execute_runs(layout, runs) == {} and tools.calls('tool') == before


def test_merged_after_the_training(layout, tools):
    run = replace(run_of('merged', alpha=0.5), config='vifi_mini')
    assert execute_runs(layout, [run]) == {}
    folder = Path(layout.path('merged'))
    assert [call for call in tools.calls('tool', 'checkpoint')
            if call[0] != 'trained'] == [
        ('train', None), ('merge', f'{folder}/epoch_2.pth'),
        ('test', f'{folder}/merged.pth')]
    assert float((folder / 'trained').read_text()) >= 0  # CPU seconds
    (folder / 'trained').write_text('7')
    execute_runs(layout, [run])  # which tests again
    assert (folder / 'trained').read_text() == '7'


def test_two_at_a_time(layout, tools):
    runs = [run_of(name, test=False) for name in 'abcd']
    assert execute_runs(layout, runs, jobs=2) == {}
    active, most = set(), 0
    for tool, name in tools.calls('tool', 'name'):
        (active.add if tool == 'train' else active.discard)(name)
        most = max(most, len(active))
    assert most == 2 and len(set(tools.calls('pid'))) == 4


def test_failure_goes_on(layout, tools, capsys):
    runs = [run_of('bad'), run_of('after', uses='bad'),
            run_of('last', uses='after'), run_of('good'), run_of('big')]
    bad = flag(layout, 'bad', 'fail_train')
    big = flag(layout, 'big', 'kill_test')
    failed = execute_runs(layout, runs, jobs=2)
    assert set(failed) == {'bad', 'after', 'last', 'big'}
    assert 'train of bad fails' in failed['bad']
    assert 'bad' in failed['after'] and 'after' in failed['last']
    assert 'SIGKILL' in failed['big']
    shown = capsys.readouterr().out
    assert '[  5/5]' in shown and 'bad/run.log' in shown
    # mended: only what is not finished runs again
    bad.unlink(), big.unlink()
    assert execute_runs(layout, runs) == {}
    calls = tools.calls('tool', 'name', 'checkpoint')
    assert all(calls.count(('train', name, None)) == 1
               for name in ('good', 'big'))
    # the test takes the checkpoint of the training's end
    assert ('test', 'bad', f'{layout.root}/bad/epoch_2.pth') in calls


def test_lost_checkpoint_is_an_error(layout, tools):
    execute_runs(layout, [run_of('a', test=False)])
    Path(layout.root, 'a/last_checkpoint').unlink()
    failed = execute_runs(layout, [
        run_of('b', uses='a'), run_of('c', uses='a', train=False)])
    assert set(failed) == {'b', 'c'} and len(tools.calls('tool')) == 2
    assert all('checkpoint' in why for why in failed.values())


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_the_runs(layout, tools, number):
    runs = [run_of(name) for name in 'abc']
    flags = [flag(layout, name, 'slow') for name in 'ab']
    process = multiprocessing.get_context('fork').Process(
        target=execute_runs, args=(layout, runs, 2))
    process.start()
    try:
        deadline = time.monotonic() + 60
        while not tools.file.exists() or len(tools.calls('pid')) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode not in (None, 0)
    finally:
        process.kill()
        process.join()
    for pid, in tools.calls('pid'):
        state = Path(f'/proc/{pid}/stat')
        assert not state.exists() or ') Z' in state.read_text()
    assert not any(map(layout.finished, runs))
    for path in flags:
        path.unlink()
    assert execute_runs(layout, runs, jobs=2) == {}


def test_several_gpus_run_the_shell_commands(layout, monkeypatch):
    monkeypatch.setattr(
        matrix, 'shell_script', lambda run, layout, gpus:
        f'echo "$TUNE {gpus}"; exit ' + '03'[run.name == 'bad'])
    failed = matrix.Executor(layout, 8, 1, {}).run(
        [run_of('good'), run_of('bad')])
    assert set(failed) == {'bad'} and 'exit code 3' in failed['bad']
    assert Path(layout.root, 'good/run.log').read_text() == 'both 8\n'


def test_failed_runs_are_listed(capsys, layout, tools):
    argv = ['matrix', '--table', '4', '--run', '--work-dir', layout.root]
    flag(layout, 'supervised/image', 'fail_test')
    refused(capsys, *argv, names=['1 of 6', 'supervised/image: ValueError: '
                                  'test of image fails'])
    assert vifi(*argv, '--only', 'text') == 0
    assert f'vifi-clip report --work-dir {layout.root}\n' in \
        capsys.readouterr().out
    assert vifi(*argv) == 2
    assert '5 of 6 runs are finished; 1 to do' in capsys.readouterr().out


@pytest.mark.parametrize('mode', [[], ['--run']])
def test_mini_makes_its_world_first(monkeypatch, tmp_path, capsys, mode):
    """Every run gets the data, the CLIP and a folder for frames, in absolute
    paths; the folder is gone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', 'put back afterwards')
    monkeypatch.setattr(quickstart, 'make_data', lambda root: f'of-{root}')
    monkeypatch.setattr(quickstart, 'pretrain',
                        lambda work, data: f'{work}/clip-{data}.pth')
    told = tmp_path / 'told'
    monkeypatch.setitem(matrix.TOOLS, 'train', lambda argv: told.write_text(
        json.dumps({name: os.environ[name] for name in (
            'DATA_ROOT', 'MINI_CLIP', 'WORKERS', 'FUSION', 'SEED')}
            | {'frames': os.path.isdir(os.environ['FRAMES_DIR'])})))
    assert vifi('matrix', '--mini', *mode, '--table', '5', '--only',
                'decision/both/seed2', '--data-root', 'small') == 2
    assert json.loads(told.read_text()) == dict(
        DATA_ROOT=str(tmp_path / 'small'), WORKERS='0', FUSION='decision',
        MINI_CLIP=str(tmp_path / 'work_dirs/quickstart/clip-of-small.pth'),
        SEED='2', frames=True)
    assert os.listdir('work_dirs/matrix_mini') == ['fusion']
    assert 'vifi-clip report --mini' in capsys.readouterr().out
    assert Path('work_dirs/matrix_mini/fusion/decision').is_dir()
