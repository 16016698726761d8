"""tools/make_splits.py as a user starts it."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'make_splits.py'
ROWS = ['path,label,split'] + [
    f'{name}/{i}.mp4,{name},{"train" if i else "val"}'
    for name in ('chop', 'stir') for i in range(3)
]


def run_tool(*words, cwd=None, **env):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, words)],
        capture_output=True, text=True, timeout=120, cwd=cwd,
        env={**os.environ, **env})


@pytest.fixture
def lists(tmp_path):
    (tmp_path / 'own.csv').write_text('\n'.join(ROWS) + '\n')
    made = run_tool('kitchen', '--csv', 'own.csv', '--out', 'lists',
                    '--shots', 1, '--base-shots', 2, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert 'wrote' in made.stdout
    return tmp_path / 'lists'


def test_help_has_examples_and_starts_without_torch():
    said = run_tool('--help')
    assert said.returncode == 0 and '--import ViFi-CLIP' in said.stdout
    code = ('import runpy, sys; sys.argv = ["x", "--help"]\n'
            'try: runpy.run_path(%r, run_name="__main__")\n'
            'except SystemExit: pass\n'
            'print([m for m in ("torch", "mmaction") if m in sys.modules])')
    loaded = subprocess.run([sys.executable, '-c', code % str(TOOL)],
                            capture_output=True, text=True, check=True)
    assert loaded.stdout.endswith('[]\n')


def test_hash_seed_of_python_does_not_matter(lists, tmp_path):
    for seed in '0', '1':
        out = tmp_path / seed
        assert run_tool('kitchen', '--csv', 'own.csv', '--out', out,
                        '--shots', 1, '--base-shots', 2, cwd=tmp_path,
                        PYTHONHASHSEED=seed).returncode == 0
        assert ({path.name: path.read_bytes() for path in out.iterdir()} ==
                {path.name: path.read_bytes() for path in lists.iterdir()})


def test_check_passes_and_finds_a_changed_line(lists):
    check = 'kitchen', '--check', '--out', lists
    (lists / 'mine.txt').write_text('a.mp4 0\n')
    good = run_tool(*check)
    assert good.returncode == 0
    assert 'mine.txt is not in the manifest' in good.stdout
    path = lists / 'train.txt'
    before = path.read_text()
    path.write_text(before.replace('chop/2.mp4 0', 'chop/2.mp4 1'))
    changed = run_tool(*check)
    assert changed.returncode == 2
    assert 'train.txt was changed' in changed.stderr
    path.write_text(before + 'more.mp4 0\n')
    assert '5 lines, the manifest says 4' in run_tool(*check).stderr
    path.unlink()
    assert 'train.txt is missing' in run_tool(*check).stderr
    other = run_tool('ucf101', '--check', '--out', lists)
    assert other.returncode == 2 and "'kitchen'" in other.stderr


def test_check_finds_a_missing_video(lists, tmp_path):
    videos = tmp_path / 'videos'
    for row in ROWS[1:]:
        path = videos / row.split(',')[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    check = 'kitchen', '--check', '--out', lists, '--videos', videos
    good = run_tool(*check)
    assert good.returncode == 0, good.stderr
    (videos / 'stir/1.mp4').unlink()
    bad = run_tool(*check)
    assert bad.returncode == 2
    assert '1 of 6 videos' in bad.stderr and 'stir/1.mp4' in bad.stderr
    nowhere = run_tool(*check[:-1], tmp_path / 'nowhere')
    assert nowhere.returncode == 2 and 'no such folder' in nowhere.stderr


def test_errors_are_one_message(tmp_path):
    (tmp_path / 'own.csv').write_text('file,label\na.mp4,chop\n')
    said = run_tool('kitchen', '--csv', 'own.csv', '--out', 'lists',
                    cwd=tmp_path)
    assert said.returncode == 2 and said.stderr.count('\n') == 1
    assert said.stderr.startswith('error: own.csv, line 1: ')
    assert not (tmp_path / 'lists').exists()
    assert run_tool('ucf101', '--anotations', 'x').returncode == 2
