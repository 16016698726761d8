"""--engine ray: the results of one process, also if a worker is killed. The
cluster is of this machine, with two workers; skipped without Ray."""
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from commands import refused, vifi
from helpers import write_mp4

from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.cli.cluster import numbered
from projects.vifi_clip_tools.cli.options import EngineOptions, ModelOptions
from projects.vifi_clip_tools.embeddings.file import read_embeddings

# Read when Ray is imported: the cluster is of these tests alone.
os.environ.update(RAY_AUTH_MODE='token', RAY_AUTH_TOKEN=secrets.token_hex(32))
REPO = Path(__file__).parents[2]
CLUSTER = '''
import ray, sys
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
'''


@pytest.fixture(scope='module')
def cluster():
    """A cluster of two CPUs, which ends with its process."""
    pytest.importorskip('ray.data')
    path = [*map(str, (REPO, REPO / 'tests', REPO / 'tests/cli')),
            os.environ.get('PYTHONPATH')]
    with subprocess.Popen(
            [sys.executable, '-c', CLUSTER], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=dict(
                os.environ, RAY_USAGE_STATS_ENABLED='0',
                PYTHONPATH=os.pathsep.join(filter(None, path)))) as process:
        process.address = next(line.strip() for line in process.stdout
                               if ':' in line)
        yield process
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """24 good videos, and one that is none."""
    folder = tmp_path_factory.mktemp('world') / 'videos'
    folder.mkdir()
    for i in range(24):
        write_mp4(folder / f'{i:02d}.mp4', 8 + i, (64, 64))
    (folder / 'bad.mp4').write_text('no video')
    return folder


def options_of(cluster):
    return ['--engine', 'ray', '--ray-address', cluster.address,
            '--ray-workers', 2]


def kill_a_worker(cluster, ready, killed):
    """Wait until some work is done, and kill one of two workers."""
    while not ready():
        time.sleep(0.02)
    parents = {}
    for path in Path('/proc').glob('[0-9]*'):
        try:
            stat = (path / 'stat').read_text().rpartition(')')[2].split()
            parents[int(path.name)] = int(stat[1]), (
                path / 'cmdline').read_bytes()
        except OSError:
            continue
    for number, (parent, command) in parents.items():
        above = parent
        while above in parents and above != cluster.pid:
            above = parents[above][0]
        if above == cluster.pid and b'MapWorker' in command:
            killed.append(number)
            os.kill(number, signal.SIGKILL)
            return


@pytest.mark.slow
def test_predict_while_a_worker_is_killed(cluster, videos, tmp_path, capsys):
    outs = [tmp_path / name for name in ('alone.jsonl', 'ray.jsonl')]
    command = ['predict', videos, '--config', 'small_world', '--out']
    assert vifi(*command, outs[0]) == 1
    killed = []
    watcher = Thread(daemon=True, target=kill_a_worker, args=(
        cluster, lambda: outs[1].exists() and outs[1].stat().st_size, killed))
    watcher.start()
    capsys.readouterr()
    assert vifi(*command, outs[1], *options_of(cluster)) == 1
    said = capsys.readouterr().err
    assert killed and '25/25' in said and 'bad.mp4' in said
    alone, ray = ([json.loads(line) for line in out.read_text().splitlines()]
                  for out in outs)
    assert [row['video'] for row in ray] == [row['video'] for row in alone]
    for one, other in zip(alone, ray):
        assert one.get('labels') == other.get('labels')
        assert one.get('scores', []) == pytest.approx(other.get('scores', []),
                                                      abs=1e-5)
    # nothing is left but the video that cannot be read
    assert vifi(*command, outs[1]) == 1
    assert '24 of 25 were done before' in capsys.readouterr().err


@pytest.mark.slow
def test_embed(cluster, videos, tmp_path):
    outs = [tmp_path / name for name in ('alone.npz', 'ray.npz')]
    for out, more in zip(outs, ([], options_of(cluster))):
        assert vifi('embed', videos, '--config', 'small_world', '--out', out,
                    *more) == 1
    alone, ray = map(read_embeddings, map(str, outs))
    assert ray.names == alone.names and ray.failed == alone.failed
    np.testing.assert_allclose(ray.embeddings, alone.embeddings, atol=1e-5)


@pytest.mark.slow
def test_index(cluster, videos, tmp_path):
    pytest.importorskip('lancedb')
    from projects.vifi_clip_tools.search.store import VideoIndex
    folder = tmp_path / 'index'
    assert vifi('index', videos, '--config', 'small_world', '--index', folder,
                '--window', 0.5, *options_of(cluster)) == 1
    known = VideoIndex(str(folder)).videos()
    assert sorted(map(os.path.basename, known)) == [
        f'{i:02d}.mp4' for i in range(24)]


@pytest.mark.slow
def test_pack(cluster, videos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = sorted(os.listdir(videos))
    Path('list.txt').write_text(''.join(f'{name} 0\n' for name in names))
    command = ['pack', 'list.txt', '--root', videos, '--out', 'out',
               *options_of(cluster)]
    assert vifi(*command) == 1
    assert '24 packed, 1 left out' in capsys.readouterr().out
    for name in names[:-1]:
        assert len(VideoFile(str(Path('out', name)))) == 8 + int(name[:2])
    assert vifi(*command) == 1
    assert '24 there already' in capsys.readouterr().out


def squares(jobs, marks):
    """Work that kills its process once at 5, always at -1."""
    for job in jobs:
        mark = Path(marks, str(job))
        if job == -1 or job == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if job == 100:
            raise UserError('100 is too much')
        yield job * job


@pytest.mark.slow
def test_what_a_worker_dies_of(cluster, tmp_path):
    from functools import partial

    import test_cluster  # by the name that workers find
    work = partial(test_cluster.squares, marks=str(tmp_path))
    options = EngineOptions(engine='ray', ray_address=cluster.address)
    assert sorted(numbered(work, range(20), options)) == [
        (i, i * i) for i in range(20)]
    assert (tmp_path / '5').exists()
    with pytest.raises(UserError, match='100 is too much'):
        list(numbered(work, [1, 100], options))
    with pytest.raises(UserError, match='gave up'):
        list(numbered(work, [1, -1], options))


def test_here_and_no_jobs():
    assert list(numbered(lambda jobs: map(str, jobs), [3, 4],
                         EngineOptions())) == [(0, '3'), (1, '4')]
    assert not list(numbered(None, [], EngineOptions(engine='ray')))


@pytest.mark.parametrize('command, names', [
    (['embed', 'a', '--out', 'b.npz', '--ray-workers', '2'], '--ray-workers'),
    (['index', 'a', '--ray-address', 'b:1'], '--ray-address'),
    (['predict', 'a', '--engine', 'ray'], '--out'),
    (['predict', 'a', '--engine', 'ray', '--timeline', 'b.png'],
     '--timeline'),
    (['predict', 'a', '--engine', 'spark', '--out', 'b.csv'], 'spark'),
    (['pack', 'a', '--out', 'b', '--engine', 'ray', '--workers', '2'],
     '--ray-workers'),
    (['index', 'a', '--engine', 'ray', '--ray-address', 'ray://b:1'],
     'HOST:PORT')])
def test_command_lines(capsys, command, names):
    refused(capsys, *command, names=names)


def test_what_cannot_be_sent_and_torchrun(videos, tmp_path, capsys,
                                          monkeypatch):
    command = ['embed', videos, '--engine', 'ray', '--out',
               tmp_path / 'a.npz', '--config', 'small_world']
    refused(capsys, *command, '--compile', names='--compile')
    refused(capsys, *command, '--device', 'cuda:0', names='--device')
    monkeypatch.setenv('WORLD_SIZE', '2')
    refused(capsys, *command, names='torchrun')


def test_no_ray_and_no_cluster(monkeypatch):
    options = EngineOptions(engine='ray', ray_address='127.0.0.1:1')
    with monkeypatch.context() as without:
        without.setitem(sys.modules, 'ray', None)
        with pytest.raises(UserError, match=r'vifi_clip\[ray\]'):
            list(numbered(str, [1], options))
        with pytest.raises(UserError, match=r'vifi_clip\[ray\]'):
            options.here(ModelOptions())  # which is loaded next
    pytest.importorskip('ray.data')
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    for address in (f'127.0.0.1:{port}', 'nowhere', 'no.such.host:6379'):
        with pytest.raises(UserError, match=address):
            list(numbered(str, [1], EngineOptions(engine='ray',
                                                  ray_address=address)))
