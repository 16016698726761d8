"""The page served over HTTP: limits, and what is left."""
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from projects.vifi_clip_tools.demo import server
from projects.vifi_clip_tools.demo.handlers import Handlers

requests = pytest.importorskip('requests')
# Not imported: it would read its settings before they are made.
pytestmark = pytest.mark.skipif(not find_spec('gradio'), reason='no gradio')


@pytest.fixture(scope='module')
def page(inferencer):
    from projects.vifi_clip_tools.demo.limits import Limits
    from projects.vifi_clip_tools.demo.page import build_page, theme
    from projects.vifi_clip_tools.demo.service import Recogniser
    recogniser = Recogniser(inferencer, Limits(upload_mb=0.5))
    with server.workplace() as folder:
        port = server.check_address('127.0.0.1', 0)
        built = build_page(Handlers(recogniser), 'Title', 'About', ['a', 'b'])
        with server.served(built, theme(), '127.0.0.1', port, 0.5) as url:
            yield url, Path(folder)
    recogniser.close()
    assert not os.path.exists(folder)


def _upload(url, size):
    return requests.post(f'{url}/gradio_api/upload', timeout=30,
                         files=dict(files=('a.mp4', b'x' * size)))


def _files(folder):
    return sorted(p.name for p in folder.rglob('*') if p.is_file())


def test_uploads_are_limited(page):
    url, folder = page
    before = _files(folder)
    answer = _upload(url, 600_000)
    assert answer.status_code == 413
    assert _files(folder) == before  # nothing of it is left
    assert _upload(url, 400_000).status_code == 200
    assert _files(folder) == sorted([*before, 'a.mp4'])


def test_the_page_names_no_other_site(page):
    url, _ = page
    config = requests.get(f'{url}/config', timeout=30).json()
    assert config['analytics_enabled'] is False
    assert config['run_history'] is False
    style = requests.get(f'{url}/theme.css', timeout=30).text
    assert 'system-ui' in style and '@import' not in style
    assert not [name for name in re.findall(r'url\(([^)]*)\)', style)
                if not name.strip('"\'').startswith('data:')]


def test_other_files_are_not_served(page):
    url, _ = page
    for path in ('/etc/passwd', os.path.abspath('setup.cfg')):
        answer = requests.get(f'{url}/gradio_api/file={path}', timeout=30)
        assert answer.status_code in (403, 404)


def test_inputs_have_labels(page):
    url, _ = page
    config = requests.get(f'{url}/config', timeout=30).json()
    kinds = {'textbox', 'slider', 'number', 'dropdown', 'video'}
    named = [c['props'].get('label') for c in config['components']
             if c['type'] in kinds]
    assert len(named) == 9 and all(named)
