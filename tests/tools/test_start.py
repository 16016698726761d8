"""Every tool says what it does before it imports what is heavy."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools_world import REPO

TOOLS = sorted(p.name for p in (REPO / 'tools').glob('[a-z]*.py'))
SCRIPTS = ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
HEAVY = ('torch', 'torchvision', 'transformers', 'matplotlib', 'sklearn',
         'scipy', 'mmcv', 'mmaction', 'open_clip', 'timm')


def _run(code, *args, cwd=REPO) -> subprocess.CompletedProcess:
    # as from a shell where nobody set anything
    environ = {name: value for name, value in os.environ.items()
               if not name.startswith(('MALLOC_', 'OMP_', 'GLIBC_'))}
    return subprocess.run([sys.executable, '-c', code, *args], cwd=cwd,
                          text=True, capture_output=True, timeout=120,
                          env=environ)


_HELP = '''
import runpy, sys
tool = sys.argv[1]
sys.argv = [tool, *sys.argv[2:]]
sys.path.insert(0, tool.rpartition("/")[0])
try:
    runpy.run_path(tool, run_name="__main__")
except SystemExit as end:
    loaded = {name.partition(".")[0] for name in sys.modules}
    print("\\nCODE", end.code, "LOADED", *sorted(loaded))
'''


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('option, code', [('--help', '0'), ('--nnn', '2')])
def test_options_are_read_first(tool, option, code, tmp_path):
    result = _run(_HELP, str(REPO / 'tools' / tool), option, cwd=tmp_path)
    said = re.search(r'CODE (\S+) LOADED (.*)', result.stdout)
    assert said and said[1] in (code, 'None'), result.stderr
    assert 'usage:' in (result.stdout if code == '0' else result.stderr)
    assert not set(said[2].split()) & set(HEAVY)


def test_the_test_would_see_heavy_modules(tmp_path):
    tool = tmp_path / 'tool.py'
    tool.write_text('import sys, torch\nsys.exit(0)\n')
    said = re.search('LOADED (.*)', _run(_HELP, str(tool)).stdout)
    assert 'torch' in said[1].split()


def test_importing_the_package_fills_the_registries():
    result = _run('''
import sys
import projects.vifi_clip
light = [n for n in ("scipy.stats", "matplotlib", "sklearn")
         if n in sys.modules]
from mmaction.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.registry import STRATEGIES
from mmaction.datasets.transforms import pose_transforms
import gc
names = [MODELS.get("ViFiCLIP"), DATASETS.get("CheckedVideoDataset"),
         HOOKS.get("EpochSeedHook"), METRICS.get("VideoAccMetric"),
         STRATEGIES.get("FSDP2Strategy")]
print(light, all(names), gc.isenabled(),
      pose_transforms.get_mode([[1], [2], [2]])[0].ravel().tolist())
import scipy.stats
print(scipy.stats.mode([3, 3, 4]).mode)
''')
    assert result.stdout.split('\n')[-3:] == ['[] True True [2]', '3', ''], (
        result.stdout + result.stderr)


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_show_their_usage(script):
    result = subprocess.run(['bash', REPO / 'tools' / script],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert f'{script} ' in result.stderr and 'nvironment' in result.stderr


_FAULTS = '''
import ctypes, os, resource, sys
for name in [n for n in os.environ if n.startswith(("MALLOC_", "OMP_W"))]:
    del os.environ[name]
sys.path.insert(0, "tools")
from _start import bare
bare("projects.vifi_clip")
from projects.vifi_clip_tools.cli.environment import prepare
if sys.argv[1] == "user":
    os.environ["MALLOC_TRIM_THRESHOLD_"] = "131072"
if sys.argv[1] != "plain":
    prepare()
set_here = sorted(n for n in os.environ if n.startswith(("MALLOC_", "OMP_W")))
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = libc.malloc(2**26)
    libc.memset(block, 1, 2**26)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, *set_here)
'''


@pytest.mark.skipif(
    not hasattr(os, 'confstr') or
    'glibc' not in (os.confstr('CS_GNU_LIBC_VERSION') or ''),
    reason='the setting is glibc\'s')
def test_freed_memory_is_kept():
    plain, ours, user = (
        _run(_FAULTS, kind).stdout.split() for kind in
        ('plain', 'ours', 'user'))
    # 20 blocks are touched anew, or the first one only
    assert int(plain[0]) > 10 * int(ours[0])
    assert ours[1:] == ['MALLOC_MMAP_THRESHOLD_', 'MALLOC_TOP_PAD_',
                        'MALLOC_TRIM_THRESHOLD_', 'OMP_WAIT_POLICY']
    # a user's own setting is not added to
    assert user[1:] == ['MALLOC_TRIM_THRESHOLD_', 'OMP_WAIT_POLICY']
    assert int(user[0]) > 10 * int(ours[0])


@pytest.mark.parametrize('environ', [
    dict(MALLOC_TOP_PAD_='1'), dict(GLIBC_TUNABLES='glibc.malloc.trim=3')])
def test_what_the_user_set_stays(environ):
    from projects.vifi_clip_tools.cli.environment import absent, prepare
    assert absent(environ) == {}
    given = dict(environ, OMP_WAIT_POLICY='ACTIVE')
    prepare(given)
    assert given == dict(environ, OMP_WAIT_POLICY='ACTIVE')


def test_every_tool_is_covered():
    assert {'train.py', 'test.py', 'scale_model.py'} <= set(TOOLS)
    assert all(Path(REPO / 'tools' / tool).is_file() for tool in TOOLS)
