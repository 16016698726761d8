"""vifi-clip push, to an endpoint on this machine that speaks as the Hub."""
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from commands import refused, vifi
from huggingface_hub import ModelCard

FILES = {'config.py': b'load_from = 1\n', 'model.safetensors': b'\0' * 64,
         'README.md': b'---\n---\n# A model\n'}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / 'model' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 'model' / name).write_bytes(content)
    return tmp_path / 'model'


@pytest.fixture
def hub(monkeypatch):
    """What was posted, by path."""
    posted = {}

    class Hub(BaseHTTPRequestHandler):

        def do_POST(self):
            body = self.rfile.read(int(self.headers['Content-Length']))
            posted[self.path] = body
            if self.path.endswith('create'):
                answer = dict(url=f'{address}/me/kitchen', name='me/kitchen')
            elif 'preupload' in self.path:
                answer = dict(files=[
                    dict(path=file['path'], uploadMode='regular',
                         shouldIgnore=False)
                    for file in json.loads(body)['files']])
            else:
                answer = dict(success=True, commitOid='1' * 40, commitUrl=(
                    f'{address}/me/kitchen/commit/{"1" * 40}'))
            self.answer(answer)

        def do_GET(self):
            self.answer(dict(id='me/kitchen', sha='0' * 40, siblings=[]))

        def answer(self, content):
            content = json.dumps(content).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    address = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', address)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setenv('HF_TOKEN', 'hf_of_a_test')
    monkeypatch.setenv('NO_PROXY', '*')
    yield posted
    server.shutdown()
    server.server_close()


def test_a_folder_arrives_whole(folder, hub, capsys):
    assert vifi('push', folder, 'hf://me/kitchen', '--private') == 0
    made = json.loads(hub['/api/repos/create'])
    assert made['name'] == 'kitchen' and made['organization'] == 'me'
    assert made.get('private') or made.get('visibility') == 'private'
    commit = next(body for path, body in hub.items() if 'commit' in path)
    lines = [json.loads(line) for line in commit.splitlines()]
    assert {line['value']['path']: base64.b64decode(line['value']['content'])
            for line in lines if line['key'] == 'file'} == FILES
    assert '--model hf://me/kitchen' in capsys.readouterr().out


def test_a_licence_goes_into_the_card(folder, hub):
    assert vifi('push', folder, 'me/kitchen', '--license', 'mit') == 0
    card = ModelCard.load(folder / 'README.md')
    assert card.data.license == 'mit' and '# A model' in card.text


def test_what_is_no_model_stays_here(folder, hub, tmp_path, capsys):
    (folder / 'model.safetensors').unlink()
    refused(capsys, 'push', folder, 'me/kitchen', names='model.safetensors')
    refused(capsys, 'push', tmp_path / 'gone', 'me/kitchen', names='gone')
    assert not hub


@pytest.mark.parametrize('name', ['a/b/c', '../me'])
def test_names_that_the_hub_refuses(folder, hub, name, capsys):
    refused(capsys, 'push', folder, name, names=name)
    assert not hub
