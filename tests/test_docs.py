"""README and docs: their commands exist, their links lead somewhere, and the
site builds."""
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from commands import vifi
from setuptools.config.setupcfg import read_configuration

from projects.vifi_clip import __version__
from projects.vifi_clip_tools.cli.main import COMMANDS

REPO = Path(__file__).parents[1]
PAGES = sorted([*REPO.glob('*.md'), *(REPO / 'docs').glob('*.md'),
                *(REPO / 'data_splits').rglob('README.md')])


def _uses(page):
    """Yield our commands in shell blocks, each with the words after it."""
    for block in re.findall(r'```bash\n(.*?)```', page.read_text(), re.S):
        joined = re.sub(r'\\\n\s*', '', block)
        for line in re.split(r'\n|&&|\|', joined):
            words = shlex.split(line, comments=True)
            for i, word in enumerate(words):
                if word in ('tools/train.py', 'tools/test.py'):
                    yield word[6:-3], words[i + 1:]
                elif word in ('vifi-clip', 'projects.vifi_clip_tools'):
                    yield words[i + 1], words[i + 2:]


USES = [(page, *use) for page in PAGES for use in _uses(page)
        if not use[0].startswith('-') and use[0] != 'COMMAND']


@pytest.mark.parametrize('name', sorted({name for _, name, _ in USES}))
def test_options_exist(name, capsys):
    assert len(USES) > 40 and name in COMMANDS
    assert vifi(name, '--help') == 0
    options = set(re.findall(r'--[\w-]+', capsys.readouterr().out))
    assert not [(page.name, word) for page, used, words in USES
                for word in words if used == name and word.startswith('--')
                and word.partition('=')[0] not in options]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    links = re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text)
    missing = [link for link in links if not (page.parent / link).exists()]
    # ours, from the root of the checkout
    paths = re.findall(
        r'(?<![\w/.])((?:projects|configs|tools|tests|benchmarks|docs)/'
        r'[\w/.-]*\.(?:py|sh|md|ipynb))\b', text)
    missing += [path for path in paths if not (REPO / path).exists()]
    assert not missing


@pytest.mark.slow
def test_site_builds(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir',
         str(tmp_path / 'site')], cwd=REPO, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert 'ViFiCLIPInferencer' in (
        tmp_path / 'site/api/index.html').read_text()


def test_badges_and_citation_are_true():
    """They say what setup.cfg does."""
    text = (REPO / 'README.md').read_text()
    badges = dict(re.findall(r'shields.io/badge/(\w+)-(.+?)-\w+\)', text))
    cfg = read_configuration(REPO / 'setup.cfg')
    low, high = (re.search(rf'{sign}3\.(\d+)', str(
        cfg['options']['python_requires']))[1] for sign in ('>=', '<'))
    assert unquote(badges['python']) == f'3.{low} to 3.{int(high) - 1}'
    licence = cfg['metadata']['license']
    assert badges['licence'] == licence.replace('-', '--')
    cited = yaml.safe_load((REPO / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(cited)
    assert (cited['version'], cited['license']) == (__version__, licence)
    paper = cited['preferred-citation']
    assert {'type', 'title', 'authors', 'year'} <= set(paper)
    number = paper['identifiers'][0]['value'].removeprefix('arXiv:')
    assert badges['arXiv'] == number and f'arxiv.org/abs/{number}' in text
    assert f'## {__version__}' in (REPO / 'CHANGELOG.md').read_text()
