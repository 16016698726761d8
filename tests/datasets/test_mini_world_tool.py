"""The small world's tool: what it makes, refuses and spares."""
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from projects.vifi_clip_tools.mini_world.folder import MiniWorldError
from projects.vifi_clip_tools.mini_world.build import WorldParams
from projects.vifi_clip_tools.mini_world import build

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'make_mini_dataset.py'
TINY = dict(
    train_per_class=1,
    test_per_class=1,
    target_train_per_class=0,
    num_stills=3,
    size=32)


def run_tool(out, *options):
    return subprocess.run(
        [sys.executable, str(TOOL), '--out', str(out), *options],
        capture_output=True,
        text=True,
        timeout=120)


def options(**changes):
    return [
        word for key, value in {
            **TINY, 'workers': 2,
            **changes
        }.items() for word in (f'--{key.replace("_", "-")}', str(value))
    ]


def test_tool_makes_once_and_replaces_only_by_force(tmp_path):
    out = tmp_path / 'deep' / 'mini'
    first = run_tool(out, *options())
    assert first.returncode == 0, first.stderr
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}

    start = time.perf_counter()
    again = run_tool(out, *options())
    assert time.perf_counter() - start < 2  # rendering does not start
    assert again.returncode == 0 and 'up to date' in again.stdout

    refused = run_tool(out, *options(seed=3))
    assert refused.returncode == 2
    assert '--force' in refused.stderr and refused.stderr.count('\n') == 1
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob('*')}

    forced = run_tool(out, *options(seed=3), '--force')
    assert forced.returncode == 0, forced.stderr
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['params']['seed'] == 3
    assert [path.name for path in out.parent.iterdir()] == ['mini']


@pytest.mark.parametrize('force', [False, True])
@pytest.mark.parametrize('name', ['thesis.txt', 'manifest.json'])
def test_foreign_files_are_never_removed(tmp_path, force, name):
    (tmp_path / name).write_text('{"years": 5}')
    with pytest.raises(MiniWorldError, match=f'{name}.*another --out'):
        build(tmp_path, WorldParams(**TINY), force=force)
    assert (tmp_path / name).read_text() == '{"years": 5}'
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize('place', ['.', 'annotations'])
def test_force_spares_what_was_added_to_a_data_set(tmp_path, place):
    build(tmp_path / 'mini', WorldParams(**TINY), workers=1)
    added = tmp_path / 'mini' / place / 'mine.txt'
    added.write_text('x')
    with pytest.raises(MiniWorldError, match='mine.txt'):
        build(tmp_path / 'mini', WorldParams(**TINY, seed=1), force=True)
    assert added.exists()
    # It is no reason to doubt what is there, though.
    assert not build(tmp_path / 'mini', WorldParams(**TINY))


def test_damage_is_found(tmp_path):
    params = WorldParams(**TINY)
    build(tmp_path / 'mini', params, workers=1)
    listing = tmp_path / 'mini' / 'annotations' / 'train.txt'
    kept = listing.read_text()
    listing.write_text(kept.replace(' 3', ' 4'))
    with pytest.raises(MiniWorldError, match='train.txt was changed'):
        build(tmp_path / 'mini', params)
    listing.write_text(kept)
    (tmp_path / 'mini' / 'stills' / '0000.jpg').unlink()
    with pytest.raises(MiniWorldError, match='stills/0000.jpg is missing'):
        build(tmp_path / 'mini', params)
    assert build(tmp_path / 'mini', params, workers=1, force=True)


@pytest.mark.parametrize('changes, words', [
    (dict(size=33), '--size must be even'),
    (dict(size=30), 'from 32 to 1024, but is 30'),
    (dict(num_stills=-1), '--num-stills must be at least 1, but is -1'),
    (dict(train_per_class=0), '--train-per-class'),
    (dict(target_train_per_class=-1),
     '--target-train-per-class must be at least 0, but is -1'),
    (dict(test_per_class=-2), '--test-per-class'),
    (dict(seed=-1), '--seed'),
    (dict(workers=0), '--workers'),
])
def test_bad_options_are_one_line(tmp_path, changes, words):
    result = run_tool(tmp_path / 'mini', *options(**changes))
    assert result.returncode == 2
    assert words in result.stderr and result.stderr.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_unwritable_out_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    for out in (tmp_path / 'file', tmp_path / 'file' / 'mini'):
        result = run_tool(out, *options())
        assert result.returncode == 2
        assert str(tmp_path / 'file') in result.stderr
        assert result.stderr.count('\n') == 1


@pytest.mark.parametrize('sign', [signal.SIGINT, signal.SIGKILL])
def test_stopped_run_leaves_nothing_half_made(tmp_path, sign):
    out = tmp_path / 'mini'
    process = subprocess.Popen(
        [sys.executable, str(TOOL), '--out', str(out), '--workers', '1'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob('.mini.*/videos/*/*.mp4')):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(sign)
    _, stderr = process.communicate(timeout=60)
    assert not out.exists()
    if sign == signal.SIGINT:
        assert process.returncode == 130 and 'Traceback' not in stderr
        assert not list(tmp_path.iterdir())
    else:
        result = run_tool(out, *options())
        assert result.returncode == 0 and '.partial' in result.stdout


def test_needs_neither_torch_nor_mmaction():
    code = ('import sys; sys.path.append("projects/vifi_clip/datasets"); '
            'import mini_world; '
            'print(sorted({"torch", "mmaction", "mmengine"} & '
            'set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', code],
                            cwd=ROOT,
                            capture_output=True,
                            text=True)
    assert result.stdout.strip() == '[]', result.stderr
