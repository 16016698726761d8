"""What the matrix lists, refuses and prints: run by a shell and a stub of
Slurm."""
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import refused, vifi
from matrix_world import write_record, write_training

from projects.vifi_clip_tools.paper.layout import (ROOT, Layout,
                                                   default_folder,
                                                   default_knobs,
                                                   shell_script)
from projects.vifi_clip_tools.paper.runs import Run, by_name
from projects.vifi_clip_tools.paper.tables import mini_tables, paper_tables

RUNS = by_name(paper_tables().values())
NAMES = ('TUNE', 'METHOD', 'SEED', 'DATASET', 'EVAL', 'PRETRAINED',
         'LOAD_FROM', 'DATA_ROOT')
# Writes down how it was called; a training leaves its checkpoint.
PYTHON = '''#!{python} -IS
import json, os, sys
with open({calls!r}, 'a') as file:
    file.write(json.dumps(dict(
        argv=sys.argv[1:], cwd=os.getcwd(),
        environ={{k: os.environ[k] for k in {names!r} if k in os.environ}}))
        + '\\n')
if any(word.endswith('train.py') for word in sys.argv):
    work = sys.argv[sys.argv.index('--work-dir') + 1]
    if os.path.exists(os.path.join(work, 'fail')):
        sys.exit(2)
    os.makedirs(work, exist_ok=True)
    with open(os.path.join(work, 'last_checkpoint'), 'w') as file:
        file.write(os.path.join(work, 'epoch_10.pth'))
'''
# Runs a job at once, as in a queue without others; gives ids like a cluster's.
SBATCH = '''#!/usr/bin/env bash
echo "$*" >> {jobs}
head -c 100000 > {jobs}.script
bash -n {jobs}.script && bash {jobs}.script > /dev/null || exit 1
echo "$((1000 + $(wc -l < {jobs})));cluster"
'''


class Cluster:
    """Stub programs on PATH, and what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / 'bin'
        self.path.mkdir(parents=True)
        for name, text in dict(
                python=PYTHON.format(python=sys.executable, names=NAMES,
                                     calls=str(folder / 'calls')),
                sbatch=SBATCH.format(jobs=folder / 'jobs')).items():
            (self.path / name).write_text(text)
            (self.path / name).chmod(0o755)

    def bash(self, script, check=True, **environ):
        path = f'{self.path}{os.pathsep}{os.environ["PATH"]}'
        env = dict(os.environ, PATH=path, VIRTUAL_ENV='/x', **environ)
        subprocess.run(['bash', '-n'], input=script, text=True, check=True)
        return subprocess.run(['bash'], input=script, text=True, cwd=ROOT,
                              check=check, env=env, capture_output=True)

    def calls(self, work):
        """Calls, each with the name of its run in a folder of runs."""
        calls = [json.loads(line) for line in
                 (self.folder / 'calls').read_text().splitlines()]
        for call in calls:
            folder = call['argv'][call['argv'].index('--work-dir') + 1]
            call['name'] = Path(folder).relative_to(work).as_posix()
        return calls


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / 'cluster')


def printed(capsys, *argv):
    capsys.readouterr()
    assert vifi('matrix', *argv) == 0
    return capsys.readouterr().out


CHOICE = ('--table', '1', '8', '--dataset', 'hmdb51', '--commands')


def _check_calls(calls, work, tool='tools/{}.py', **environ):
    """Of CHOICE: 6 trainings on K400, 7 tests on HMDB-51; of Table 8, 3 runs
    of 4 rows and frozen CLIP. The user's environment stays."""
    kinds, seen = [], []
    for call in calls:
        name, argv = call['name'], call['argv']
        run, expected = RUNS[name], dict(RUNS[name].knobs, **environ)
        assert not run.uses or run.uses in seen
        seen.append(name)
        if run.train and run.uses:
            expected[run.start] = f'{work}/{run.uses}/epoch_10.pth'
        assert call['environ'] == expected, name
        start = next(i for i, word in enumerate(argv)
                     if word.endswith(('train.py', 'test.py')))
        program, config, *words = argv[start:]
        kinds.append('test' if program.endswith('test.py') else 'train')
        assert program.endswith(tool.format(kinds[-1]))
        assert config.endswith(f'configs/{run.config}.py')
        if kinds[-1] == 'test':
            source = name if run.train else run.uses
            assert words[0] == (f'{work}/{source}/epoch_10.pth' if source
                                else 'none')
            assert words[words.index('--metrics') + 1] == (
                f'{work}/{name}/metrics.json')
        else:
            assert '--resume' in words
        for path in program, config:
            assert Path(call['cwd'], path).is_file()
    assert (kinds.count('train'), kinds.count('test')) == (6 + 12, 7 + 13)


@pytest.mark.parametrize('gpus', [1, 8])
def test_shell_commands_run(cluster, capsys, tmp_path, gpus):
    work = tmp_path / "my runs' $HOME `x` \"y\" $(z)"
    script = printed(capsys, *CHOICE, 'shell', '--work-dir', work, '--gpus',
                     gpus)
    assert ('bash tools/dist_train.sh configs/vifi_zero_shot.py 8' if gpus > 1
            else 'python tools/train.py configs/vifi_zero_shot.py') in script
    cluster.bash(script, DATA_ROOT='/my data')
    calls = cluster.calls(work)
    for call in calls if gpus > 1 else ():
        assert call['argv'][0] == str(ROOT / 'tools/_torchrun.py')
        assert '--nproc_per_node=8' in call['argv']
    _check_calls(calls, work, '{}.py' if gpus > 1 else 'tools/{}.py',
                 DATA_ROOT='/my data')
    assert {path.parent.relative_to(work).as_posix()
            for path in work.rglob('trained')} == {
        name for name in RUNS if RUNS[name].train
        and Path(work, name).is_dir()}


def test_slurm_jobs(cluster, capsys, tmp_path):
    work = tmp_path / "my runs' $HOME"
    script = printed(capsys, *CHOICE, 'slurm', '--work-dir', work)
    assert cluster.bash(script).stderr == ''
    _check_calls(cluster.calls(work), work)
    jobs = (cluster.folder / 'jobs').read_text().splitlines()
    assert len(jobs) == 6 + 7 + 13
    numbers = {}
    for i, words in enumerate(jobs):
        name = words.partition(f'{work}/')[2].partition('/slurm-%j.out')[0]
        uses = RUNS[name].uses
        if uses:  # submitted before, and waited for by number
            assert words.endswith(f' --dependency=afterok:{numbers[uses]}')
        else:
            assert '--dependency' not in words
        numbers[name] = 1001 + i
        assert Path(work, name).is_dir()  # Slurm does not make it
    head = (cluster.folder / 'jobs.script').read_text().splitlines()[:5]
    assert head == ['#!/usr/bin/env bash',
                    f'#SBATCH --job-name={name.replace("/", "-")}',
                    '#SBATCH --gpus-per-node=1', '#SBATCH --ntasks=1',
                    '#SBATCH --cpus-per-gpu=8']


def test_commands_of_what_is_left(capsys, tmp_path):
    layout = Layout(str(tmp_path / 'm'))
    argv = (capsys, *CHOICE, 'slurm', '--work-dir', layout.root)
    source = write_training(layout, 'zero_shot/train/both')
    write_record(layout, RUNS['zero_shot/hmdb51/none'], {})
    script = printed(*argv)
    assert script.count('sbatch --parsable') == 6 + 7 + 13 - 2
    assert f'PRETRAINED={source} ' in script  # no need to wait
    assert 'job_zero_shot_train_both' not in script
    # a training that was interrupted is waited for, though it has a
    # checkpoint
    Path(layout.path('zero_shot/train/both', 'trained')).unlink()
    script = printed(*argv)
    assert source not in script
    assert '--dependency=afterok:"${job_zero_shot_train_both%%;*}"' in script


def test_nothing_runs_on_a_failed_training(cluster, capsys, tmp_path):
    """Nor is frozen CLIP tested in its place."""
    script = printed(capsys, *CHOICE, 'shell', '--work-dir', tmp_path)
    flag = tmp_path / 'zero_shot/train/both/fail'
    flag.parent.mkdir(parents=True)
    flag.touch()
    done = cluster.bash(script, check=False)
    assert str(tmp_path / 'zero_shot/train/both/trained') in done.stderr
    ran = {call['name'] for call in cluster.calls(tmp_path)}
    assert 'zero_shot/train/both' in ran
    assert not any(RUNS[name].uses == 'zero_shot/train/both' for name in ran)
    assert 'zero_shot/hmdb51/image' in ran  # the others go on


FEW = Run('few/both', 'vifi_few_shot', dict(TUNE='both', SHOTS='4'))


def test_steps_of_a_run(layout):
    folder = layout.path('few/both')
    write_training(layout, 'few/both')
    (*_, predictions), = layout.steps(FEW)
    assert predictions == f'{folder}/predictions.csv'
    # the folder may move; while a training goes on, its last is removed
    marker = Path(folder, 'last_checkpoint')
    marker.write_text('/gone/matrix/few/both/epoch_9.pth\n')
    assert layout.checkpoint('few/both') == f'{folder}/epoch_9.pth'
    captions, = layout.steps(Run('r', 'vifi_retrieval', train=False))
    assert '--predictions' not in captions  # which are no classes


def test_merged_weights(layout):
    """Between CLIP's and those of the run that it uses, or its own; they are
    what is tested."""
    run, clip = Run('few/m', 'vifi_mini', FEW.knobs, alpha=0.7), default_knobs(
        Run('r', 'vifi_mini'))['MINI_CLIP']
    tuned, other = (write_training(layout, name)
                    for name in ('few/m', 'few/both'))
    for source, made in (tuned, run), (other, replace(
            run, train=False, uses='few/both')):
        merge, test = layout.steps(made)
        assert merge == ['merge', clip, source, '--alpha', '0.7', '--out',
                         layout.path('few/m', 'merged.pth'), '--overwrite']
        assert test[2] == merge[6]
        lines = shell_script(made, layout, 8).splitlines()
        assert lines[0].startswith('vifi-clip merge ') and len(lines) == 2


def test_list(capsys, tmp_path):
    layout = Layout(str(tmp_path))
    write_training(layout, 'zero_shot/train/text')
    write_record(layout, RUNS['zero_shot/k600/none'], {})
    text = printed(capsys, '--table', '1', '--work-dir', tmp_path)
    assert text.endswith('\n27 runs, 25 to do.\n')
    words = [line.split() for line in text.split('\n')[1:28]]
    state = {name: what for what, name, *_ in words}
    assert set(state) == {run.name for run in paper_tables()['1'].runs}
    assert [state[f'zero_shot/{name}'] for name in (
        'train/text', 'train/both', 'k600/none')] == [
            'finished', 'train', 'finished']
    assert ['test', 'zero_shot/k600/both', '<-',
            'zero_shot/train/both'] in words


@pytest.mark.parametrize('argv, count', [
    ([], 280), (['--mini', '--dry-run'], 239),
    (['--mini', '--dry-run', '--table', 'additions', '--only', 'taco'], 6),
    (['--table', '2', '3'], 151),
    (['--dataset', 'ssv2'], 78), (['--only', 'seed2'], 40),
    (['--mini', '--dry-run', '--only', 'a5'], 30),
    (['--mini', '--dry-run', '--dataset', 'retrieval'], 4)])
def test_numbers_of_runs(capsys, argv, count):
    """SSv2: 19 of Table 2, 25 of 3, 2 of 5, 16 of 7, 12 of 8 and their 4
    trainings; seed 2: 24 of Table 2, 12 of 8 and the 4."""
    lines = printed(capsys, *argv, '--work-dir', '/not/there').splitlines()
    assert lines[-1] == f'{count} runs, {count} to do.'
    assert max(map(len, lines)) <= 90


@pytest.mark.parametrize('method', ['actionclip', 'xclip', 'a5', 'a6'])
def test_only_one_method(capsys, method):
    for mini in [], ['--mini', '--dry-run']:
        lines = printed(capsys, *mini, '--only', method).splitlines()
        runs = by_name((mini_tables() if mini else paper_tables()).values())
        shown = {word for line in lines for word in line.split()} & set(runs)
        assert shown == {name for name, run in runs.items()
                         if run.knobs.get('METHOD') == method}


def test_folder_tells_knobs_of_all_runs(monkeypatch):
    assert default_folder(False, RUNS.values()) == 'work_dirs/matrix'
    monkeypatch.setenv('DATA_ROOT', '/data')
    monkeypatch.setenv('NUM_FRAMES', '16')
    monkeypatch.setenv('PIXELS', 'clip')
    assert default_folder(True, RUNS.values()) == (
        'work_dirs/matrix_mini-NUM_FRAMES_16-PIXELS_clip')


@pytest.mark.parametrize('argv, names', [
    (['--table', '12'], '--table 12'),
    (['--table', '6', '9'], 'vifi-clip complexity'),
    (['--dataset', 'kinetics'], '--dataset kinetics'),
    (['--mini', '--table', '9'], '--table 9'),
    (['--mini', '--dataset', 'ucf101'], '--dataset ucf101'),
    (['--only', 'seed9'], "'seed9'"),
    (['--table', '4', '--dataset', 'ssv2'], '--dataset'),
    (['--run', '--commands', 'shell'], '--commands'),
    (['--run', '--dry-run'], '--dry-run'), (['--gpus', '0'], '--gpus')])
def test_wrong_options(capsys, argv, names):
    refused(capsys, 'matrix', *argv, names=names)


@pytest.mark.parametrize('mode', [[], ['--run'], ['--commands', 'slurm']])
def test_knobs_that_the_matrix_turns(capsys, monkeypatch, mode):
    monkeypatch.setenv('SHOTS', '4')
    monkeypatch.setenv('TUNE', 'image')
    refused(capsys, 'matrix', '--table', '3', *mode, names='SHOTS, TUNE')
