"""``tools/convert_checkpoint.py`` as a user runs it."""
import json
import os
import subprocess
import sys

import pytest
import torch
from open_clip.model import CLIP
from release_file import ARCH, ReleaseModel, write_release_file
from tools_world import REPO

from projects.vifi_clip_tools.convert.command import main
from projects.vifi_clip.apis.config import run_main


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A CLIP and a released file that came from it."""
    folder = tmp_path_factory.mktemp('files')
    torch.manual_seed(0)
    clip = CLIP(**ARCH)
    torch.save(clip.state_dict(), folder / 'clip.pt')
    model = ReleaseModel(clip.token_embedding.weight.detach(), 4, 2, 2)
    write_release_file(model, folder / 'release.pth')
    return folder


@pytest.fixture
def run(capsys):

    def run(*args):
        code = run_main(main, [str(arg) for arg in args])
        return code, capsys.readouterr()

    return run


FROM_RELEASE = '--source=release', '--target=vifi'


def test_from_a_shell(files, tmp_path):
    done = subprocess.run(
        [sys.executable, REPO / 'tools/convert_checkpoint.py',
         files / 'release.pth', 'out.pth', *FROM_RELEASE, '--clip',
         files / 'clip.pt'], cwd=tmp_path, capture_output=True, text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert done.returncode == 0, done.stderr
    for said in ('used: ', 'dropped: 2 (prompt_learner.token_prefix',
                 'missing: 1 (cls_head.text_classifier.text.token_embedding',
                 '"templates": ["{}."]', 'wrote out.pth'):
        assert said in done.stdout
    report = json.loads((tmp_path / 'out.pth.report.json').read_text())
    keys = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    written = {key for keys in report['used'].values() for key in keys}
    assert written | set(report['missing']) == set(keys)
    assert report['arch'] == ARCH
    assert sorted(os.listdir(tmp_path)) == ['out.pth', 'out.pth.report.json']


def test_nothing_is_lost_without_force(files, tmp_path, run):
    out = tmp_path / 'out.pth'
    args = (files / 'release.pth', out, *FROM_RELEASE, '--clip',
            files / 'clip.pt')
    for name in 'out.pth', 'out.pth.report.json':
        (tmp_path / name).write_text('precious')
        code, said = run(*args)
        assert code == 2 and f'{name} exists; --force' in said.err
        assert (tmp_path / name).read_text() == 'precious'
        (tmp_path / name).unlink()
    out.write_text('old')
    code, said = run(*args, '--force', '--report', tmp_path / 'r.json')
    assert code == 0
    assert torch.load(out, weights_only=True)['state_dict']
    assert sorted(os.listdir(tmp_path)) == ['out.pth', 'r.json']


def _cut(path, tmp_path):
    damaged = tmp_path / 'cut.pth'
    damaged.write_bytes(path.read_bytes()[:5000])
    return damaged


@pytest.mark.parametrize('case, said', [
    ('absent', 'No such file'), ('itself', 'written over itself'),
    ('clip', 'written over itself'), ('no folder', 'cannot be written'),
    ('folder', 'is a folder'), ('no clip', 'needs --clip FILE'),
    ('damaged', 'damaged'), ('kind', 'those of --source release'),
    ('arch', "Unknown arch 'ViT-B-61'"), ('ending', 'name it .pth'),
    ('drop', '--drop-prompts is for'), ('report', 'are one file'),
    ('report link', 'are one file'), ('empty', 'DST is empty'),
    ('arch over', 'written over itself'),
    ('arch link', 'written over itself'),
    ('arch report', 'written over itself')])
def test_errors_write_nothing(files, tmp_path, run, case, said):
    src, dst, clip = files / 'release.pth', tmp_path / 'o.pth', [
        '--clip', files / 'clip.pt']
    more = []
    if case == 'absent':
        src = files / 'nowhere.pth'
    elif case == 'itself':
        dst, more = src, ['--force']
    elif case == 'clip':
        dst, more = files / 'clip.pt', ['--force']
    elif case == 'no folder':
        dst = tmp_path / 'nowhere/o.pth'
    elif case == 'folder':
        dst, more = tmp_path, ['--force']
    elif case == 'no clip':
        clip = []
    elif case == 'damaged':
        src = _cut(src, tmp_path)
    elif case == 'kind':
        more = ['--source=vifi']
    elif case == 'arch':
        more = ['--arch=ViT-B-61']
    elif case == 'ending':
        dst = tmp_path / 'o.safetensors'
    elif case == 'drop':
        more = ['--drop-prompts']
    elif case == 'report':
        more = ['--report', dst]
    elif case == 'report link':
        dst.symlink_to('p.pth')
        more = ['--report', tmp_path / 'p.pth', '--force']
    elif case == 'empty':
        dst = ''
    elif case.startswith('arch '):
        arch = tmp_path / 'arch.json'
        arch.write_text(json.dumps(ARCH))
        more = ['--force', '--arch', arch]
        if case == 'arch over':
            dst = arch
        elif case == 'arch link':
            dst.symlink_to(arch)
        else:
            more += ['--report', arch]
    before = {p: p.lstat().st_mtime_ns for f in (files, tmp_path)
              for p in f.iterdir()}
    code, output = run(src, dst, *FROM_RELEASE, *clip, *more)
    assert code == 2 and said in output.err
    assert before == {p: p.lstat().st_mtime_ns for f in (files, tmp_path)
                      for p in f.iterdir()}
