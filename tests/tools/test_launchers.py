"""Slurm's command line, two nodes, and errors under torchrun."""
import os
import re
import socket
import subprocess
import sys

import pytest
import torch
from tools_world import REPO, settings_of, start

TOOLS = REPO / 'tools'
_SRUN = '''#!/bin/sh
for word in "$@"; do echo "[$word]"; done
echo "OMP=$OMP_NUM_THREADS TUNE=$TUNE"
'''


@pytest.fixture
def srun(tmp_path, monkeypatch):
    """Function of (script, arguments, environment): srun's words."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'srun').write_text(_SRUN)
    (folder / 'srun').chmod(0o755)

    def call(script, *args, **environ) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if k != 'OMP_NUM_THREADS'}
        env['PATH'] = f'{folder}{os.pathsep}{env["PATH"]}'
        env.update(environ)
        return subprocess.run(['bash', TOOLS / script, *args], env=env,
                              cwd=tmp_path, text=True, capture_output=True,
                              timeout=60)

    return call


def test_slurm_words(srun):
    done = srun('slurm_train.sh', 'gpu part', 'my job', 'c.py', '--seed', '3',
                GPUS='16', SRUN_ARGS='--quotatype=spot --nodes=2',
                TUNE='image')
    assert done.returncode == 0, done.stderr
    words = re.findall(r'\[(.*)\]', done.stdout)
    assert words[:8] == [
        '-p', 'gpu part', '--job-name=my job', '--gres=gpu:8', '--ntasks=16',
        '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1']
    assert words[8:10] == ['--quotatype=spot', '--nodes=2']
    assert words[11:] == ['-u', str(TOOLS / 'train.py'), 'c.py', '--seed',
                          '3', '--launcher', 'slurm']
    assert 'OMP=5 TUNE=image' in done.stdout
    one = srun('slurm_test.sh', 'p', 'j', 'c.py', 'a.pth', GPUS='1',
               CPUS_PER_TASK='2', OMP_NUM_THREADS='7').stdout
    assert '[--gres=gpu:1]' in one and '[--ntasks-per-node=1]' in one
    assert f'[{TOOLS / "test.py"}]\n[c.py]\n[a.pth]' in one and 'OMP=7' in one


@pytest.mark.parametrize('environ, said', [
    (dict(GPUS='many'), "got 'many'"), (dict(GPUS='0'), "got '0'"),
    (dict(GPUS='12'), 'no multiple of GPUS_PER_NODE=8')])
def test_bad_slurm_numbers(srun, environ, said):
    done = srun('slurm_train.sh', 'p', 'j', 'c.py', **environ)
    assert done.returncode == 2 and said in done.stderr
    assert not done.stdout


def test_no_slurm_here(srun, tmp_path):
    (tmp_path / 'bin' / 'srun').unlink()
    path = os.pathsep.join(
        p for p in os.environ['PATH'].split(os.pathsep)
        if not os.path.exists(os.path.join(p, 'srun')))
    done = srun('slurm_train.sh', 'p', 'j', 'c.py', PATH=path)
    assert done.returncode == 2 and 'tools/dist_train.sh' in done.stderr


def _free_port() -> str:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return str(server.getsockname()[1])


def test_two_nodes_train_as_one_process(tools, write_config, world, tmp_path,
                                        monkeypatch):
    settings = settings_of(world)
    config = write_config(
        root=world,
        val_dataloader=None, val_cfg=None, val_evaluator=None,
        default_hooks=dict(checkpoint=dict(save_best=None)),
        train_dataloader=dict(settings['train_dataloader'], batch_size=4),
        optim_wrapper=dict(
            type='AutocastOptimWrapper', dtype='float32',
            optimizer=dict(type='SGD', lr=0.05)))
    tools.train(config, '--work-dir', tmp_path / 'one')
    for name, value in dict(NNODES='2', MASTER_ADDR='127.0.0.1',
                            PORT=_free_port()).items():
        monkeypatch.setenv(name, value)
    nodes = []
    for rank in '01':
        monkeypatch.setenv('NODE_RANK', rank)
        nodes.append(start(
            'bash', TOOLS / 'dist_train.sh', config, 1, '--work-dir', 'two',
            '--cfg-options', 'train_dataloader.batch_size=2', cwd=tmp_path))
    outputs = [node.communicate(timeout=200)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    ends = [torch.load(tmp_path / n / 'epoch_1.pth')['state_dict']
            for n in ('one', 'two')]
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-4, atol=1e-6)
    assert 'GPU number: 2' in outputs[0]


def test_an_error_is_said_once(write_config, tmp_path):
    config = write_config(load_from='nowhere.pth')
    process = start('bash', TOOLS / 'dist_train.sh', config, 2, cwd=tmp_path)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 2
    assert output.count('error: ') == 1 and 'nowhere.pth' in output
    assert 'Traceback' not in output and 'ChildFailedError' not in output


@pytest.mark.parametrize('code, returned, said', [
    ('import os, signal; os.kill(os.getpid(), signal.SIGKILL)', 137,
     'ended by SIGKILL'),
    ('raise SystemExit(3)', 3, 'ended with exit code 3')])
def test_a_process_that_says_nothing(tmp_path, code, returned, said):
    script = tmp_path / 'script.py'
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, TOOLS / '_torchrun.py', '--standalone',
         '--nproc_per_node=1', script],
        text=True, capture_output=True, timeout=100)
    assert done.returncode == returned
    assert said in done.stderr and 'Traceback' not in done.stderr
