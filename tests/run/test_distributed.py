"""Two processes equal one: train, test, several sets, predict, embed and
resume, on CPU with gloo, in one start; and what the launchers start."""
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import vifi
from mmengine.config import Config
from tiny import NAMES
from tools_world import REPO, ended, settings_of

from projects.vifi_clip_tools.embeddings.file import read_embeddings

TOOLS = REPO / 'tools'
_SCRIPT = '''
import importlib, json, sys
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer
from projects.vifi_clip_tools.cli.main import COMMANDS
for name, *argv in json.loads(sys.argv[1]):  # with one process group for all
    for kind in MessageHub, MMLogger, Visualizer:
        kind._instance_dict.clear()  # named by the second
    module = importlib.import_module(
        f"projects.vifi_clip_tools.{COMMANDS[name].module}")
    code = module.run(module.parse_args(argv))
    sys.stdout.write(f"CODE of {name}: {code or 0}\\n")  # at once
'''


def _lines(path) -> list:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_equal_one(world, write_config, tmp_path, monkeypatch,
                                 capfd):
    (world / 'videos/val_3.mp4').write_bytes(b'')  # one of five is bad
    (world / 'half.txt').write_text('val_0.mp4 0\nval_1.mp4 1\n')
    (world / 'half.classes.txt').write_text('\n'.join(NAMES[:2]))
    loader = settings_of(world)['val_dataloader']
    loader['dataset']['on_bad_video'] = 'count_as_wrong'
    hooks = Config.fromfile(REPO / 'configs/_base_/runtime.py').custom_hooks
    # Adam would blow up the rounding of gradients that are zero.
    config = write_config(
        root=world, val_dataloader=loader,
        # the mean of the second epoch and the third, before which it resumes
        custom_hooks=[*map(dict, hooks), dict(type='EpochMeanHook')],
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(max_keep_ckpts=3)),
        optim_wrapper=dict(
            type='AutocastOptimWrapper', dtype='float32',
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9)))
    sets = [dict(name=name, ann_file=str(world / f'{file}.txt'),
                 class_file=str(world / f'{classes}.txt'))
            for name, file, classes in (('half', 'half', 'half.classes'),
                                        ('all', 'train', 'classes'))]
    joined = write_config('joined', root=world, test_cfg=dict(
        type='MultiSetTestLoop', sets=sets, harmonic_mean=('half', 'all')))

    def commands(name, batch, *launcher) -> list:
        """Train for two epochs of two steps of which each accumulates two,
        and for a third; test; predict, where half of it is done."""
        run = str(tmp_path / name)
        train = ['train', config, '--work-dir', run, '--auto-accumulate', '8',
                 *launcher, '--cfg-options',
                 f'train_dataloader.batch_size={batch}']
        return [
            train, [*train, 'train_cfg.max_epochs=3', '--resume'],
            ['test', config, f'{tmp_path}/one/epoch_3.pth', '--work-dir', run,
             '--bad-videos', 'count_as_wrong', '--dump', f'{run}.pkl',
             '--metrics', f'{run}.json', *launcher],
            ['test', joined, f'{tmp_path}/one/epoch_3.pth', '--work-dir', run,
             '--metrics', f'{run}_sets.json', *launcher],
            ['merge', *(f'{tmp_path}/one/epoch_{n}.pth' for n in (1, 3)),
             '--alpha', '0', '.5', '--evaluate', joined, '--work-dir', run,
             '--out', f'{run}.csv', *launcher],
            ['embed', f'{world}/train.txt', '--root', f'{world}/videos',
             *small, '--out', f'{run}.npz'],
            ['predict', f'{world}/videos', *small, '--topk', '2', '--out',
             f'{run}.jsonl']]

    small = '--config', 'small_world', '--device', 'cpu'
    assert [vifi(*argv) for argv in commands('one', 4)] == [0] * 6 + [1]
    one, two = tmp_path / 'one.jsonl', tmp_path / 'two.jsonl'
    # stopped: a whole line, a failed one, a half one; another's part
    kept = [json.dumps(line) for line in _lines(one)]
    fake = dict(_lines(one)[3], scores=[.25, .125])  # not made again
    failed, = [text for text in kept if '"error"' in text]
    two.write_text(f'{json.dumps(fake)}\n{failed}\n{kept[0][:40]}')
    (tmp_path / 'two.jsonl.part3').write_text(kept[5] + '\n')
    Path(f'{two}.meta.json').write_bytes(
        Path(f'{one}.meta.json').read_bytes())
    script = tmp_path / 'script.py'
    script.write_text(_SCRIPT)
    output = ended(
        sys.executable, TOOLS / '_torchrun.py', '--standalone',
        '--nproc_per_node=2', script,
        json.dumps(commands('two', 2, '--launcher', 'pytorch')), cwd=tmp_path)
    # the first process says how many videos could not be read
    assert sorted(re.findall('CODE of (.*)', output)) == [
        *['embed: 0'] * 2, *['merge: 0'] * 2, 'predict: 0', 'predict: 1',
        *['test: 0'] * 4, *['train: 0'] * 4], output[-5000:]
    assert '2 processes x batch 2 x accumulation 2 = 8' in output
    assert f'{two}: 2 of 13 were done before' in output
    assert output.count('could not be read:') == 1
    # found by the second process, said by the first
    assert '1 of 5 videos could not be read and were counted as' in output

    # the same weights, and none of them where it was before
    first, *ends = (torch.load(tmp_path / path) for path in (
        'one/epoch_1.pth', 'one/epoch_3.pth', 'two/epoch_3.pth'))
    assert ends[0]['meta']['iter'] == ends[1]['meta']['iter'] == 6
    assert [int(e['ema_state_dict']['steps']) for e in ends] == [2, 2]
    torch.testing.assert_close(*(e['ema_state_dict'] for e in ends),
                               rtol=1e-4, atol=1e-6)
    before, *after = (end['state_dict'] for end in (first, *ends))
    torch.testing.assert_close(*after, rtol=1e-4, atol=1e-6)
    assert sum(not torch.allclose(before[name], value, rtol=1e-3, atol=1e-5)
               for name, value in after[0].items()) > 20
    dumps = (pickle.loads((tmp_path / f'{name}.pkl').read_bytes())
             for name in ('one', 'two'))
    torch.testing.assert_close(*([s['pred_score'] for s in dump]
                                 for dump in dumps))
    for name in '', '_sets':
        first, second = (
            json.loads((tmp_path / f'{n}{name}.json').read_text())['metrics']
            for n in ('one', 'two'))
        assert second == pytest.approx(first) and first
    tables = [np.loadtxt(tmp_path / f'{name}.csv', delimiter=',', skiprows=1)
              for name in ('one', 'two')]
    assert tables[0].shape[0] == 2
    np.testing.assert_allclose(*tables)
    made = [read_embeddings(f'{tmp_path}/{name}.npz')
            for name in ('one', 'two')]
    assert made[0].names == made[1].names and len(made[0]) == 8
    np.testing.assert_allclose(*(file.embeddings for file in made), atol=1e-5)
    assert not list(tmp_path.glob('*.part*'))
    assert len(_lines(one)) == len(_lines(two)) == 13
    for i, (ours, theirs) in enumerate(zip(_lines(two), _lines(one))):
        expected = fake if i == 3 else theirs
        assert ours == {**expected, **({} if 'error' in expected else dict(
            scores=pytest.approx(expected['scores'], abs=1e-5)))}


@pytest.mark.slow
def test_an_error_is_said_once(write_config, tmp_path):
    config = write_config(load_from='nowhere.pth')
    output = ended('bash', TOOLS / 'dist_train.sh', config, 2, cwd=tmp_path,
                   code=2)
    assert output.count('error: ') == 1 and 'nowhere.pth' in output
    assert 'Traceback' not in output and 'ChildFailedError' not in output


@pytest.mark.slow
def test_a_process_that_says_nothing(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text('import os, signal; os.kill(os.getpid(), 9)')
    output = ended(sys.executable, TOOLS / '_torchrun.py', '--standalone',
                   '--nproc_per_node=1', script, cwd=tmp_path, code=128 + 9)
    assert 'SIGKILL' in output and 'Traceback' not in output


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Function of (script, arguments, environment): the words that srun, or
    python, would be started with."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in 'srun', 'python':
        (folder / name).write_text(
            '#!/bin/sh\nfor word in "$@"; do echo "[$word]"; done\n'
            'echo "OMP=$OMP_NUM_THREADS TUNE=$TUNE"\n')
        (folder / name).chmod(0o755)

    def call(script, *args, **environ) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if k not in (
            'OMP_NUM_THREADS', 'NNODES', 'PORT', 'MASTER_ADDR')}
        env.update(PATH=f'{folder}{os.pathsep}{env["PATH"]}',
                   VIRTUAL_ENV='active')
        return subprocess.run(
            [shutil.which('bash'), TOOLS / script, *args],
            env={**env, **environ}, cwd=tmp_path, text=True,
            capture_output=True, timeout=60)

    return call


def test_words_of_srun(words):
    done = words('slurm_train.sh', 'gpu part', 'my job', 'c.py', '--seed',
                 '3', GPUS='16', SRUN_ARGS='--quotatype=spot --nodes=2',
                 TUNE='image')
    assert done.returncode == 0, done.stderr
    found = re.findall(r'\[(.*)\]', done.stdout)
    assert found[:10] == [
        '-p', 'gpu part', '--job-name=my job', '--gres=gpu:8', '--ntasks=16',
        '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1',
        '--quotatype=spot', '--nodes=2']
    assert found[11:] == ['-u', str(TOOLS / 'train.py'), 'c.py', '--seed',
                          '3', '--launcher', 'slurm']
    assert 'OMP=5 TUNE=image' in done.stdout
    alone = words('slurm_test.sh', 'p', 'j', 'c.py', 'a.pth', GPUS='1',
                  OMP_NUM_THREADS='7').stdout
    assert '[--gres=gpu:1]' in alone and '[--ntasks-per-node=1]' in alone
    assert f'[{TOOLS / "test.py"}]\n[c.py]\n[a.pth]' in alone
    assert 'OMP=7' in alone


def test_words_of_torchrun(words):
    done = words('dist_train.sh', 'c.py', '4', '--amp', NNODES='2',
                 NODE_RANK='1', MASTER_ADDR='host', PORT='7')
    assert re.findall(r'\[(.*)\]', done.stdout) == [
        str(TOOLS / '_torchrun.py'), '--nnodes=2', '--node_rank=1',
        '--master_addr=host', '--master_port=7', '--nproc_per_node=4',
        str(TOOLS / 'train.py'), 'c.py', '--amp', '--launcher', 'pytorch']
    alone = words('dist_test.sh', 'c.py', 'a.pth', '2').stdout
    assert '[--standalone]' in alone
    assert f'[{TOOLS / "test.py"}]\n[c.py]\n[a.pth]\n' in alone


@pytest.mark.parametrize('line, environ, said', [
    ('slurm_train.sh p j c.py', dict(GPUS='many'), "'many'"),
    ('slurm_train.sh p j c.py', dict(GPUS='12'), 'GPUS_PER_NODE=8'),
    ('dist_test.sh c.py a.pth 0', {}, "'0'"),
    ('dist_train.sh c.py', {}, 'dist_train.sh CONFIG NUM_PROCESSES'),
    ('dist_test.sh c.py a.pth', {}, 'CONFIG CHECKPOINT NUM_PROC'),
    ('slurm_train.sh', {}, 'slurm_train.sh PARTITION'),
    ('slurm_test.sh p j c.py', {}, 'slurm_test.sh PARTITION')])
def test_wrong_command_lines(words, line, environ, said):
    done = words(*line.split(), **environ)
    assert done.returncode == 2 and not done.stdout
    assert said in done.stderr


def test_no_slurm_here(words, tmp_path):
    (tmp_path / 'bin/srun').unlink()
    for name in 'bash', 'dirname':
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    done = words('slurm_train.sh', 'p', 'j', 'c.py', PATH=tmp_path / 'bin')
    assert done.returncode == 2 and 'tools/dist_train.sh' in done.stderr
