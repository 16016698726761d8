"""The package as pip installs it, far from any checkout."""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects.vifi_clip_configs import shipped

REPO = Path(__file__).resolve().parents[1]
BUILT_FROM = ('LICENSE', 'MANIFEST.in', 'README.md', 'constraints.txt',
              'model-index.yml', 'pyproject.toml', 'setup.cfg', 'setup.py')
FOLDERS = ('configs', 'data_splits', 'projects', 'tools', 'vifi_clip')
# A list that vifi-clip splits made: it is not ours to publish.
GENERATED = 'data_splits/k400/train.txt'


def _run(*command, cwd, **environ) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, text=True, timeout=300,
        capture_output=True, env={**os.environ, **environ})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """A folder as site-packages, installed from the source distribution."""
    base = tmp_path_factory.mktemp('packaging')
    source = base / 'source'
    for name in FOLDERS:
        shutil.copytree(REPO / name, source / name,
                        ignore=shutil.ignore_patterns('__pycache__'))
    for name in BUILT_FROM:
        shutil.copy(REPO / name, source)
    (source / GENERATED).write_text('a.mp4 0\n')
    _run('-c', 'import setuptools.build_meta as b; b.build_sdist("..")',
         cwd=source)
    _run('-m', 'pip', 'install', '--no-deps', '--no-index',
         '--no-build-isolation', '--no-compile', '--target', base / 'site',
         next(base.glob('*.tar.gz')), cwd=base)
    return base / 'site'


def _files(folder: Path) -> set:
    return {path.relative_to(folder).as_posix()
            for path in folder.rglob('*') if path.is_file()
            and '__pycache__' not in path.parts}


@pytest.mark.slow
def test_all_files_are_installed(site):
    """Data files, too, which setuptools leaves out unless they are named."""
    for name in ('vifi_clip', 'projects/vifi_clip',
                 'projects/vifi_clip_configs', 'projects/vifi_clip_tools'):
        ours, installed = (_files(root / name) for root in (REPO, site))
        assert ours <= installed
        assert all(file.startswith('.mim/') for file in installed - ours)
    files = _files(site / 'vifi_clip/.mim')
    committed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard', 'configs',
         'data_splits'], cwd=REPO, text=True, capture_output=True
    ).stdout.split()
    scripts = {file for file in files if file.startswith('tools/')}
    if committed:  # a checkout
        assert set(committed) - {'data_splits/.gitignore'} == (
            files - scripts - {'model-index.yml'})
    assert GENERATED not in files
    assert scripts >= {f'tools/{name}' for name in (
        'train.py', 'test.py', 'dist_train.sh', '_launch.sh', 'slurm_test.sh',
        '_slurm.sh', '_python.sh')}
    # These make an environment for a checkout.
    assert not scripts & {'tools/quickstart.sh', 'tools/run_tests.sh',
                          'tools/_env.sh'}


@pytest.mark.slow
def test_the_command(site, tmp_path):
    root = site.resolve() / 'vifi_clip/.mim'
    for script, option, expected in (
            (site / 'bin/vifi-clip', '--root', f'{root}\n'),
            (root / 'tools/test.py', '--help', 'usage: ')):
        done = _run(script, option, cwd=tmp_path, PYTHONPATH=str(site))
        assert done.stdout.startswith(expected)


# Of an installed package, in an empty folder.
_READ = '''
import json
from projects.vifi_clip import __file__ as path
from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip_configs.shipped import config_names
with open('mine.py', 'w') as file:
    file.write("_base_ = 'vifi_clip::vifi_k400.py'")
assert read_config('mine.py').model == read_config('vifi_k400').model
files = {}
for name in config_names():
    head = read_config(name).model.get('cls_head', {})
    files[name] = (head.get('text_classifier') or {}).get('class_file')
print(json.dumps([path, files]))
'''


@pytest.mark.slow
def test_every_config_is_read(site, tmp_path):
    done = _run('-c', _READ, cwd=tmp_path, PYTHONPATH=str(site))
    path, files = json.loads(done.stdout.splitlines()[-1])
    assert Path(path).is_relative_to(site.resolve())
    assert list(files) == shipped.config_names()
    lists = {name: Path(file) for name, file in files.items()
             if file and 'mini' not in name}  # whose data set is rendered
    assert {'vifi_k400', 'mix/tsn_r50_vifi_head_k400'} <= set(lists)
    assert all(path.is_file() and '.mim' in path.parts
               for path in lists.values())
    assert [path.name for path in tmp_path.iterdir()] == ['mine.py']


@pytest.mark.parametrize('name', [
    'vifi_k400', 'vifi_k400.py', './configs/vifi_k400.py'])
def test_find_config(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'vifi_k400').mkdir()  # such as a folder of results
    assert shipped.find_here(name) == str(REPO / 'configs/vifi_k400.py')
    (tmp_path / 'vifi_k400.py').touch()  # a file goes before a name
    assert shipped.find_here('vifi_k400.py') == 'vifi_k400.py'


@pytest.mark.parametrize('name, near', [
    ('vifi_K400.py', 'vifi_k400'),
    ('slowonly_r50_vifi_head_k400', 'mix/slowonly_r50_vifi_head_k400'),
    ('/x/zero_shot.py', 'vifi_zero_shot'), ('_base_/runtime', None),
    ('../configs/vifi_k400', 'vifi_k400'), ('', None), ('.', None)])
def test_config_that_does_not_exist(name, near):
    with pytest.raises(FileNotFoundError) as caught:
        shipped.find_here(name)
    text = str(caught.value)
    assert repr(name) in text
    assert near is None or text.index(repr(near)) < text.index('vifi_k400, ')


def test_extras():
    """Each but a few is in `all`, dependencies are pinned, and those that
    ``need(module, extra)`` tells users to install are there."""
    from setuptools.config.setupcfg import read_configuration
    extras = read_configuration(REPO / 'setup.cfg')['options'][
        'extras_require']
    names = re.search(r'vifi_clip\[(.*)\]', *extras['all'])[1].split(',')
    assert set(names) == set(extras) - {
        'all', 'test', 'video', 'torchcodec', 'ray', 'tensorboard',
        'wandb'}
    pins = re.findall('^([^=#\n]+)==', (REPO / 'constraints.txt').read_text(),
                      re.M)
    assert {re.match(r'[\w-]+', line)[0] for name in names
            for line in extras[name]} <= set(pins)
    assert set(extras) >= {
        extra for path in (REPO / 'projects').rglob('*.py')
        for extra in re.findall(r"need\(\s*'[\w.]+',\s*'(\w+)'",
                                path.read_text())}


@pytest.mark.parametrize('device, suffix', [
    ('cpu', '+cpu'), ('cuda', ''), ('tpu', None)])
def test_what_the_image_installs(tmp_path, device, suffix):
    """The Dockerfile's own line, by a pip that notes what it is asked for."""
    line = re.search(r'^RUN (case.*?)\n\n', (REPO / 'Dockerfile').read_text(),
                     re.M | re.S)[1].replace('/tmp/', f'{tmp_path}/')
    pip = tmp_path / 'bin/pip'
    pip.parent.mkdir()
    pip.write_text('#!/bin/sh\necho "$PIP_EXTRA_INDEX_URL" "$@"\n')
    pip.chmod(0o755)
    done = subprocess.run(
        ['sh', '-c', line], cwd=REPO, text=True, capture_output=True,
        env=dict(os.environ, DEVICE=device,
                 PATH=f'{pip.parent}:{os.environ["PATH"]}'))
    if suffix is None:
        assert done.returncode == 2 and 'cpu or cuda' in done.stderr
        return
    assert done.returncode == 0 and '.[all]' in done.stdout, done.stderr
    assert ('whl/cpu' in done.stdout) == (device == 'cpu')
    ours = (REPO / 'constraints.txt').read_text().splitlines()
    made = (tmp_path / 'constraints.txt').read_text().splitlines()
    assert made == [f'{row}{suffix}' if re.match('torch(vision)?==', row)
                    else row for row in ours]
