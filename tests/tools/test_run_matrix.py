"""tools/run_matrix.py: what it lists, runs and refuses."""
from pathlib import Path

import pytest
from matrix_world import clear_knobs, write_record, write_training

from projects.vifi_clip_tools.paper import (quickstart,
                                            matrix_command as run_matrix)
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.paper import execute
from projects.vifi_clip_tools.paper.layout import ROOT, Layout
from projects.vifi_clip_tools.paper.paper_tables import paper_tables
from projects.vifi_clip_tools.paper.runs import by_name

RUNS = by_name(paper_tables().values())


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    clear_knobs(monkeypatch)
    monkeypatch.chdir(ROOT)


@pytest.fixture
def printed(capsys):

    def call(*argv):
        capsys.readouterr()
        run_matrix.main([str(arg) for arg in argv])
        return capsys.readouterr().out

    return call


def test_list(printed, tmp_path):
    layout = Layout(str(tmp_path))
    write_training(layout, 'zero_shot/train/text')
    write_record(layout, RUNS['zero_shot/k600/none'], {})
    lines = printed('--table', '1', '--work-dir', tmp_path).splitlines()
    assert lines[-1] == '15 runs, 13 to do.'
    assert lines[0] == 'vifi_zero_shot'  # the config of the next 15
    state = {line[15:].split()[0]: line[2:] for line in lines[1:16]}
    assert set(state) == {run.name for run in paper_tables()['1'].runs}
    for name, start in (('zero_shot/train/text', 'finished '),
                        ('zero_shot/train/both', 'train  '),
                        ('zero_shot/k600/none', 'finished '),
                        ('zero_shot/k600/both', 'test  ')):
        assert state[name].startswith(start)
    assert state['zero_shot/k600/both'].split()[1:] == [
        'zero_shot/k600/both', '<-', 'zero_shot/train/both']


@pytest.mark.parametrize('argv', [[], ['--mini', '--dry-run']])
def test_list_fits_a_terminal(printed, argv):
    lines = printed(*argv).splitlines()
    assert len(lines) > 60 and max(map(len, lines)) <= 80


@pytest.mark.parametrize('argv, count', [
    ([], 130), (['--mini', '--dry-run'], 68), (['--table', '2', '3'], 79),
    (['--dataset', 'ssv2'], 33), (['--only', 'seed2'], 16),
    (['--mini', '--dry-run', '--dataset', 'retrieval'], 4)])
def test_numbers_of_runs(printed, argv, count):
    """SSv2: 10 of Table 2, 13 of 3, 2 of 5, 4 of 7, 3 of 8 and the bridge;
    seed 2: 12 of Table 2, 3 of 8 and the bridge."""
    assert f'\n{count} runs, {count} to do.' in '\n' + printed(
        *argv, '--work-dir', '/does/not/exist')


def test_folder_tells_knobs_of_all_runs(monkeypatch):
    tables = paper_tables()
    assert run_matrix.default_folder(False, tables) == 'work_dirs/matrix'
    monkeypatch.setenv('DATA_ROOT', '/data')
    monkeypatch.setenv('NUM_FRAMES', '16')
    assert run_matrix.default_folder(False, tables) == (
        'work_dirs/matrix-NUM_FRAMES_16')
    monkeypatch.setenv('PIXELS', 'clip')
    assert run_matrix.default_folder(True, tables) == (
        'work_dirs/matrix_mini-NUM_FRAMES_16-PIXELS_clip')


@pytest.mark.parametrize('argv, said', [
    (['--table', '12'], '--table 12: choose from 1, 2, 3, 4, 5, 6, 7, 8, 9'),
    (['--table', '6', '9'], 'vifi-clip complexity'),
    (['--dataset', 'kinetics'], '--dataset kinetics: choose from hmdb51, k400'
     ', k600, msrvtt, ssv2, ucf101'),
    (['--mini', '--table', '8'], '--table 8: choose from 1, 2, 3, 4, 5, 10'),
    (['--mini', '--dataset', 'ucf101'], 'choose from base2novel, few_shot, '),
    (['--only', 'seed9'], "'seed9' in its name"),
    (['--table', '4', '--dataset', 'ssv2'], 'they have the data sets k400')])
def test_choices_that_do_not_exist(capsys, argv, said):
    assert run_main(run_matrix.main, argv) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize('argv', [
    ['--run', '--commands', 'shell'], ['--run', '--dry-run'], ['--gpus', '0'],
    ['--jobs', '-1'], ['--commands', 'pbs']])
def test_usage(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        run_matrix.main(argv)
    assert caught.value.code == 2 and 'usage:' in capsys.readouterr().err


@pytest.mark.parametrize('mode', [[], ['--run'], ['--commands', 'slurm']])
def test_knobs_that_the_matrix_turns(capsys, monkeypatch, mode):
    monkeypatch.setenv('SHOTS', '4')
    monkeypatch.setenv('TUNE', 'image')
    assert run_main(run_matrix.main, ['--table', '3', *mode]) == 2
    said = capsys.readouterr().err
    assert 'SHOTS, TUNE set in the environment' in said
    assert '--table, --dataset or --only' in said


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """Tools without work; image-FT's test fails."""

    def train(argv):
        folder = Path(argv[argv.index('--work-dir') + 1])
        (folder / 'last_checkpoint').write_text('epoch_1.pth')

    def test(argv):
        name = argv[argv.index('--work-dir') + 1][len(str(tmp_path)) + 1:]
        if name == 'supervised/image':
            raise ValueError('a bad video')
        write_record(Layout(str(tmp_path)), RUNS[name], {'acc/top1': .5})

    monkeypatch.setitem(execute._TOOLS, 'train', train)
    monkeypatch.setitem(execute._TOOLS, 'test', test)


def test_failed_runs_are_listed(capsys, tools, tmp_path):
    argv = ['--table', '4', '--run', '--work-dir', str(tmp_path)]
    assert run_main(run_matrix.main, argv) == 2
    shown = capsys.readouterr()
    assert '0 of 3 runs are finished; 3 to do, 1 at a time' in shown.out
    assert 'error: 1 of 3 runs failed:\n  supervised/image: ValueError: ' \
        'a bad video\nThe same command tries them again.' in shown.err
    assert run_main(run_matrix.main, [*argv, '--only', 'text']) == 0
    assert run_main(run_matrix.main, argv) == 2
    shown = capsys.readouterr()
    assert '2 of 3 runs are finished; 1 to do' in shown.out
    assert f'python tools/report.py --work-dir {tmp_path}\n' in shown.out


@pytest.mark.parametrize('run', [[], ['--run']])
def test_mini_makes_its_world_first(monkeypatch, tmp_path, capsys, run):
    """Every run gets the data and the CLIP, in absolute paths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DATA_ROOT', 'put back afterwards')
    made, seen = [], {}
    monkeypatch.setattr(quickstart, 'make_data',
                        lambda root: made.append(root) or 'digest')
    monkeypatch.setattr(quickstart, 'pretrain',
                        lambda args, data: f'work_dirs/clip-{data}.pth')

    class Recorder:

        def __init__(self, layout, gpus, jobs, environ):
            seen.update(root=layout.root, jobs=jobs, environ=environ)

        def run(self, runs):
            seen['runs'] = runs
            return {}

    monkeypatch.setattr(execute, 'Executor', Recorder)
    assert run_main(run_matrix.main, [
        '--mini', *run, '--table', '5', '--jobs', '3', '--data-root',
        'small']) == 0
    assert made == ['small'] and len(seen['runs']) == 9
    assert seen['environ'] == dict(
        DATA_ROOT=str(tmp_path / 'small'),
        MINI_CLIP=str(tmp_path / 'work_dirs/clip-digest.pth'), WORKERS='0')
    assert seen['root'] == 'work_dirs/matrix_mini' and seen['jobs'] == 3
    assert 'python tools/report.py --mini' in capsys.readouterr().out
