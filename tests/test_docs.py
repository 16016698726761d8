"""README and docs: their commands exist, their links lead somewhere, and the
site builds."""
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from projects.vifi_clip_tools.cli.commands import COMMANDS

REPO = Path(__file__).parents[1]
PAGES = sorted([REPO / 'README.md', *(REPO / 'docs').glob('*.md')])
SCRIPTS = {
    re.search(r"start\('([\w-]+)'\)", path.read_text())[1]: path.name
    for path in (REPO / 'tools').glob('*.py')
    if re.search(r"start\('([\w-]+)'\)", path.read_text())
}
BY_SCRIPT = {script: name for name, script in SCRIPTS.items()}


def _command_lines(text: str):
    """Lines of shell blocks, continuations joined, comments cut."""
    for block in re.findall(r'```bash\n(.*?)```', text, re.S):
        joined = re.sub(r'\\\n\s*', '', block)
        for line in joined.splitlines():
            for part in re.split(r'&&|\|', line):
                yield shlex.split(part, comments=True)


def _uses(words):
    """Command of ours and its options; None for others."""
    while words and re.fullmatch(r'[A-Z_]+=\S*', words[0]):
        words = words[1:]  # knobs
    for i, word in enumerate(words):
        if word == 'vifi-clip' and i + 1 < len(words):
            return words[i + 1], words[i + 2:]
        if word == 'projects.vifi_clip_tools.cli':
            return words[i + 1], words[i + 2:]
        if word.startswith('tools/') and word.endswith('.py'):
            return BY_SCRIPT[word[6:]], words[i + 1:]
    return None


USES = [(page.name, *use) for page in PAGES
        for words in _command_lines(page.read_text())
        if (use := _uses(words)) and not use[0].startswith('-')
        and use[0] != 'COMMAND']


@pytest.fixture(scope='module')
def help_of():
    """Help texts by command, from the parsers that read the options."""
    texts = {}

    def get(name):
        if name not in texts:
            code = (f'import sys; sys.argv = ["vifi-clip", {name!r}, "--help"]'
                    '; from projects.vifi_clip_tools.cli import main; main()')
            texts[name] = subprocess.run(
                [sys.executable, '-c', code], cwd=REPO, text=True,
                capture_output=True).stdout
        return texts[name]

    return get


def test_there_are_commands():
    assert len(USES) > 40 and len({name for _, name, _ in USES}) > 15


@pytest.mark.parametrize('page, name, words', USES,
                         ids=lambda value: str(value)[:40])
def test_commands_exist(page, name, words, help_of):
    assert name in COMMANDS
    options = {word.partition('=')[0] for word in words
               if word.startswith('--')}
    known = set(re.findall(r'--[\w-]+', help_of(name)))
    assert options <= known, f'{page}: vifi-clip {name}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links(page):
    for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', page.read_text()):
        assert (page.parent / target).exists(), target


def test_api_page_names_what_there_is():
    names = re.findall(r'^::: (\S+)$', (REPO / 'docs/api.md').read_text(),
                       re.M)
    assert len(names) > 15
    for name in names:
        module, _, attribute = name.rpartition('.')
        assert getattr(importlib.import_module(module), attribute).__doc__


def test_site_builds(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir',
         str(tmp_path / 'site')], cwd=REPO, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert 'ViFiCLIPInferencer' in (
        tmp_path / 'site/api/index.html').read_text()
