"""Addresses, temporary files, and one-line errors, without a browser."""
import os
import signal
import socket

import pytest

from projects.vifi_clip_tools.demo import command as demo
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.demo import server
from projects.vifi_clip.errors import UserError


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_is_found():
    port = server.check_address('127.0.0.1', 0)
    assert 1024 <= port <= 65535
    assert server.check_address('127.0.0.1', port) == port


def test_a_port_in_use(taken):
    with pytest.raises(UserError, match=f'127.0.0.1:{taken} cannot be used: '
                       'Address already in use'):
        server.check_address('127.0.0.1', taken)


@pytest.mark.parametrize('argv, told', [
    (['--port', '70000'], '--port 70000'),
    (['--host', 'nowhere.invalid'], '--host nowhere.invalid is no address'),
    (['--host', '192.0.2.1'], '192.0.2.1:7860 cannot be used'),
    (['--timeout', '0'], '--timeout 0'),
    (['--labels', ','], '--labels'),
    (['--index', '/nowhere/index', '--port', '0'], '/nowhere/index'),
    (['--config', 'small_wrld', '--port', '0'], "'small_world'"),
])
def test_one_line_errors_before_long_work(argv, told, capfd):
    assert run_main(demo.main, argv) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith('error: ') and told in last


def test_port_in_use_ends_with_code_2(taken, capfd):
    assert run_main(demo.main, ['--port', str(taken)]) == 2
    error, = capfd.readouterr().err.strip().splitlines()
    assert error.startswith('error: ') and 'choose another --port' in error


def test_gradio_is_not_installed(monkeypatch, capfd):
    monkeypatch.setitem(__import__('sys').modules, 'gradio', None)
    assert run_main(demo.main, ['--port', '0']) == 2
    assert 'vifi_clip[demo]' in capfd.readouterr().err


@pytest.mark.parametrize('host, alone', [
    ('127.0.0.1', True), ('localhost', True), ('::1', True),
    ('0.0.0.0', False), ('192.168.1.5', False), ('example.org', False)
])
def test_a_warning_where_others_can_come_in(host, alone, capsys):
    server.warn_if_open(host, None)
    told = capsys.readouterr().err
    assert ('no password' in told) is not alone
    assert all(len(line) <= 80 for line in told.splitlines())


def test_password_out_of_the_environment(monkeypatch):
    monkeypatch.setenv(server.AUTH, 'me:a:b')
    assert server.read_auth() == ('me', 'a:b')
    for bad in ('me', 'me:', ':secret'):
        monkeypatch.setenv(server.AUTH, bad)
        with pytest.raises(ValueError, match='USER:PASSWORD') as caught:
            server.read_auth()
        assert 'secret' not in str(caught.value)
    monkeypatch.delenv(server.AUTH)
    assert server.read_auth() is None


@pytest.mark.parametrize('end', [None, KeyboardInterrupt, signal.SIGTERM])
def test_the_folder_goes_however_it_ends(end, monkeypatch):
    monkeypatch.setenv('GRADIO_TEMP_DIR', 'as before')
    monkeypatch.delenv('NO_PROXY', raising=False)
    with pytest.raises((KeyboardInterrupt, SystemExit, ZeroDivisionError)):
        with server.workplace() as folder:
            uploads = os.environ['GRADIO_TEMP_DIR']
            assert uploads.startswith(folder) and os.path.isdir(uploads)
            assert os.environ['NO_PROXY'] == 'localhost,127.0.0.1,::1'
            open(os.path.join(uploads, 'left.mp4'), 'w').close()
            if end is signal.SIGTERM:
                os.kill(os.getpid(), end)
            raise end() if end is KeyboardInterrupt else ZeroDivisionError
    assert not os.path.exists(folder)
    assert os.environ['GRADIO_TEMP_DIR'] == 'as before'
    assert 'NO_PROXY' not in os.environ
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
