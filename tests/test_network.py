"""Where the network is down, one look of seconds is taken."""
import socket
import time

import huggingface_hub
import pytest
from commands import refused
from huggingface_hub import constants

from projects.vifi_clip.checkpoints.files import load_weights
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.towers import resolve_pretrained
from projects.vifi_clip.network import hub_or_cache, unreachable


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No memory of earlier looks, and no proxy."""
    for name in 'http_proxy', 'https_proxy', 'all_proxy':
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    unreachable.cache_clear()
    yield
    unreachable.cache_clear()


@pytest.fixture
def server():
    """The address of a port that listens."""
    with socket.create_server(('127.0.0.1', 0)) as listening:
        yield f'http://127.0.0.1:{listening.getsockname()[1]}'


@pytest.fixture
def down(monkeypatch):
    """The Hub at a port that nobody listens to."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))  # and not listen()
        address = f'http://127.0.0.1:{taken.getsockname()[1]}'
        monkeypatch.setattr(constants, 'ENDPOINT', address)
        monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
        yield address


def test_a_server_that_answers(server, monkeypatch):
    assert unreachable(server) == ''
    monkeypatch.setattr(constants, 'ENDPOINT', server)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    with hub_or_cache() as reason:
        assert not reason and not constants.HF_HUB_OFFLINE


def test_the_proxy_is_what_must_answer(server, down, monkeypatch):
    monkeypatch.setenv('http_proxy', server)
    assert unreachable('http://nowhere.invalid/file') == ''
    monkeypatch.setenv('http_proxy', down)
    assert '127.0.0.1 cannot' in unreachable('http://elsewhere.invalid/')


def test_a_name_that_takes_long(monkeypatch):
    """The system's search for it cannot be limited."""
    monkeypatch.setattr(socket, 'create_connection',
                        lambda *args: time.sleep(1) or socket.socket())
    assert 'no answer in 0.2 s' in unreachable('https://slow.invalid', 0.2)


def test_only_downloaded_files_are_looked_for(down, monkeypatch):
    with hub_or_cache() as reason:
        assert 'cannot be reached' in reason and constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(socket, 'create_connection', None)  # nothing is tried
    with hub_or_cache() as reason:
        assert 'HF_HUB_OFFLINE' in reason


def test_weights_models_and_uploads(down, tmp_path, monkeypatch, capsys):
    """Of each one message, that names what to do; no retries."""
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(UserError, match='cannot be reached.*PRETRAINED=FILE'):
        resolve_pretrained('ViT-B-16-quickgelu', 'openai')
    said = refused(capsys, 'predict', __file__, '--config', 'hf://me/model',
                   names=['hf://me/model', 'cannot be reached'])
    assert 'Retrying' not in said
    for name in 'config.py', 'model.safetensors':
        (tmp_path / name).write_text('')
    refused(capsys, 'push', tmp_path, 'me/model',
            names=['me/model', 'cannot be reached'])
    with pytest.raises(UserError, match='cannot be reached'):
        load_weights(f'{down}/vifi.pth')


def test_a_model_that_was_downloaded_before(down, tmp_path, monkeypatch):
    """Is found without the network."""
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    snapshot = tmp_path / 'models--me--model' / 'snapshots' / ('1' * 40)
    snapshot.mkdir(parents=True)
    (snapshot / 'config.py').touch()
    refs = tmp_path / 'models--me--model' / 'refs'
    refs.mkdir()
    (refs / 'main').write_text('1' * 40)
    with hub_or_cache():
        assert huggingface_hub.snapshot_download(
            'me/model', cache_dir=str(tmp_path)) == str(snapshot)
