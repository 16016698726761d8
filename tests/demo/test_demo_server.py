"""The command, and the page served over HTTP."""
import json
import os
import signal
import socket
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import refused

from projects.vifi_clip_tools.demo import server
from projects.vifi_clip_tools.demo.page import Handlers
from projects.vifi_clip_tools.demo.service import Recogniser
from projects.vifi_clip_tools.demo.streams import Streams

requests = pytest.importorskip('requests')


@pytest.fixture
def environment(monkeypatch):
    """What the page sets goes with the test."""
    monkeypatch.setattr(os, 'environ', dict(os.environ, no_proxy='here'))


def test_ports(environment, capsys):
    port = server.check_address('127.0.0.1', 0)
    assert 1024 <= port <= 65535
    assert server.check_address('127.0.0.1', port) == port
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        taken = listener.getsockname()[1]
        refused(capsys, 'demo', '--port', taken, names=('--port', taken))


@pytest.mark.parametrize('argv, names', [
    (['--port', 70000], '--port'),
    (['--host', 'nowhere.invalid'], '--host'),
    (['--host', '192.0.2.1'], '192.0.2.1'),
    (['--labels', ','], '--labels'), (['--stream', 'a.mp4'], 'a.mp4'),
    (['--index', '/nowhere/index', '--port', 0], '/nowhere/index'),
    (['--config', 'small_wrld', '--port', 0], 'small_world')])
def test_wrong_input_is_refused(argv, names, environment, capsys):
    refused(capsys, 'demo', *argv, names=names)


@pytest.mark.parametrize('host, alone', [
    ('127.0.0.1', True), ('localhost', True), ('::1', True),
    ('0.0.0.0', False), ('192.168.1.5', False), ('example.org', False)])
def test_a_warning_where_others_can_come_in(host, alone, capsys):
    server.warn_if_open(host, None)
    assert bool(capsys.readouterr().err) is not alone


def test_password_out_of_the_environment(monkeypatch):
    monkeypatch.setenv(server.AUTH, 'me:a:b')
    assert server.read_auth() == ('me', 'a:b')
    for bad in ('me', 'me:', ':secret'):
        monkeypatch.setenv(server.AUTH, bad)
        with pytest.raises(ValueError, match=server.AUTH) as caught:
            server.read_auth()
        assert 'secret' not in str(caught.value)
    monkeypatch.delenv(server.AUTH)
    assert server.read_auth() is None


@pytest.mark.parametrize('end', [
    ZeroDivisionError, KeyboardInterrupt, signal.SIGTERM])
def test_the_folder_goes_however_it_ends(end, environment):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises((KeyboardInterrupt, SystemExit, ZeroDivisionError)):
        with server.workplace() as folder:
            uploads = Path(os.environ['GRADIO_TEMP_DIR'])
            assert Path(folder) in uploads.parents
            assert os.environ['no_proxy'] == 'here,localhost,127.0.0.1,::1'
            (uploads / 'left.mp4').touch()
            if end is signal.SIGTERM:
                signal.raise_signal(end)
            raise end
    assert not os.path.exists(folder)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.fixture(scope='module')
def page(inferencer):
    # Not imported: it would read its settings before they are made.
    if not find_spec('gradio'):
        pytest.skip('no gradio')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'environ', os.environ.copy())
        port = server.check_address('127.0.0.1', 0)
        with closing(Recogniser(inferencer, streams=Streams(
                ['camera:0']))) as recogniser, server.workplace() as folder:
            built = server.build_page(Handlers(recogniser), 'About', ['a'])
            with server.served(built, '127.0.0.1', port, 0.5) as url:
                yield url, Path(folder)
        assert not os.path.exists(folder)


def test_a_name_of_a_website_opens_no_local_page(page):
    url, _ = page
    port = url.rpartition(':')[2]
    for host, status in ('localhost', 200), ('127.0.0.1', 200), (
            'evil.example', 400), ('localhost.evil.example', 400):
        assert requests.get(url, timeout=30, headers=dict(
            Host=f'{host}:{port}')).status_code == status


def test_uploads_are_limited(page):
    url, folder = page

    def upload(size):
        status = requests.post(
            f'{url}/gradio_api/upload', timeout=30,
            files=dict(files=('a.mp4', b'x' * size))).status_code
        return status, [p.name for p in folder.rglob('*.mp4')]

    assert upload(600_000) == (413, [])  # nothing of it is left
    assert upload(400_000) == (200, ['a.mp4'])


def test_a_name_may_begin_with_a_dot(page, examples, monkeypatch):
    """Wherever the page was started, which Gradio looks at."""
    url, folder = page
    monkeypatch.chdir(folder.parent)
    with open(examples['Blue star'], 'rb') as file:
        path, = requests.post(
            f'{url}/gradio_api/upload', timeout=30,
            files=dict(files=('.star.mp4', file))).json()
    assert '.star.mp4: ' in ask(url, 'video_changed', [file_data(path)])[0]
    assert requests.get(f'{url}/gradio_api/file={path}', timeout=30).ok


def file_data(path) -> dict:
    """An upload, as the page names it."""
    return dict(path=path, meta=dict(_type='gradio.FileData'))


def join(url, event, data, session, **more) -> None:
    """Call an event as the page does."""
    events = requests.get(f'{url}/config', timeout=30).json()['dependencies']
    number = next(e['id'] for e in events if e['api_name'] == event)
    assert requests.post(
        f'{url}/gradio_api/queue/join', timeout=30, json=dict(
            fn_index=number, data=data, session_hash=session, **more)).ok


def ask(url, event, data, **more) -> list:
    """Call an event, and wait for its answers, or the error."""
    session = f'{event}{data}{more}'
    join(url, event, data, session, **more)
    with requests.get(f'{url}/gradio_api/queue/data', stream=True, timeout=30,
                      params=dict(session_hash=session)) as answer:
        for line in answer.iter_lines():
            said = json.loads(line.removeprefix(b'data: ') or 'null') or {}
            if said.get('msg') == 'process_completed':
                return said['output'][
                    'data' if said['success'] else 'error']


TEXTS = ['a', '', 0, 1]


@pytest.mark.parametrize('event, data, said', [
    ('recognise', [], 'enough input'), ('recognise', [3, *TEXTS], 'valid'),
    ('recognise', [dict(path='/etc/passwd'), *TEXTS], 'meta'),
    ('recognise', [file_data('/etc/passwd'), *TEXTS], 'not uploaded'),
    ('recognise', [file_data('\0'), *TEXTS], 'null byte'),
    ('recognise', [file_data('a' * 5000), *TEXTS], 'too long'),
    ('recognise', [None, 'a', '', {}, 1], 'slider'),
    ('recognise', [None, 'a', '', 0, 10**30], 'maximum'),
    ('attention', [None, 'x' * 10**5, None], 'xxx…'),
    ('attention', [None, [[]], None], 'choices'),
    ('look', ['http://169.254.169.254/', 'a', None], 'choices'),
    ('choose', [], 'NoneType'), ('js_fn', [], 'no backend')])
def test_inputs_that_no_page_sends(page, capfd, event, data, said):
    error = ask(page[0], event, data)
    assert said in error and len(error) < 300
    err = capfd.readouterr().err
    assert err.startswith('refused event ') and err.count('\n') == 1


def test_a_tab_that_is_none(page):
    """It is compared, and nothing else."""
    assert ask(page[0], 'choose', [], event_data=dict(
        index=0, value=[{}])) == [None]


def test_one_visitor_does_not_spoil_the_others_answers(page, capfd):
    """By half a character in the name of a session."""
    join(page[0], 'choose', [], '\ud800')
    ask(page[0], 'choose', [], event_data=dict(index=0, value='Attention'))
    join(page[0], 'choose', [], 'the last one')  # the others have ended
    assert 'Traceback' not in capfd.readouterr().err


def test_a_fault_of_ours_has_its_traceback(page, monkeypatch, capfd):
    def fail(*args):
        return 1 / 0

    monkeypatch.setattr('projects.vifi_clip_tools.demo.page.check_video', fail)
    assert ask(page[0], 'video_changed', [file_data(
        f'{page[1]}/uploads')]) is None
    assert 'ZeroDivisionError' in capfd.readouterr().err


@pytest.mark.parametrize('method, path, body, code', [
    ('post', 'queue/join', '{', 422), ('post', 'queue/join', 'null', 422),
    ('post', 'queue/join', '{"data": NaN}', 400),
    ('post', 'queue/join', '{"data": "\\ud800"}', 400),
    ('post', 'queue/join', '{"data": [], "fn_index": 99}', 400),
    ('post', 'run/recognise', '{"data": []}', 400),
    ('post', 'run/nothing', '{"data": []}', 400),
    ('post', 'call/v2/nothing', '{}', 400), ('post', 'upload', 'x', 400),
    ('post', 'component_server', '{}', 400), ('get', 'nothing', '', 404),
    ('get', 'file=%00', '', 403)])
def test_requests_that_no_page_makes(page, capfd, method, path, body, code):
    answer = requests.request(
        method, f'{page[0]}/gradio_api/{path}', data=body, timeout=30,
        headers={'Content-Type': 'application/json'})
    assert answer.status_code == code
    assert 'Traceback' not in capfd.readouterr().err


def test_no_analytics_and_no_file_of_the_server(page):
    url, _ = page
    config = requests.get(f'{url}/config', timeout=30).json()
    assert config['analytics_enabled'] is False
    assert config['run_history'] is False
    for path in ('/etc/passwd', os.path.abspath('setup.cfg')):
        answer = requests.get(f'{url}/gradio_api/file={path}', timeout=30)
        assert answer.status_code in (403, 404)
