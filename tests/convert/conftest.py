"""A CLIP in OpenAI's layout, released files of it, and the command."""
import json

import open_clip
import pytest
import torch
from commands import refused as refused_command
from conversion_world import randomise, release_model
from open_clip.model import CLIP
from release_file import ARCH, write_release_file


@pytest.fixture(scope='session')
def clip() -> CLIP:
    return randomise(CLIP(**ARCH))


@pytest.fixture(scope='session')
def files(clip, tmp_path_factory):
    """A folder with the CLIP and what the release would have made of it."""
    folder = tmp_path_factory.mktemp('files')
    torch.save(clip.state_dict(), folder / 'clip.pt')
    for kind in 'plain', 'deep':
        write_release_file(release_model(clip, kind), folder / f'{kind}.pth')
    for name, more in dict(arch={}, gelu=dict(quick_gelu=False)).items():
        (folder / f'{name}.json').write_text(json.dumps(dict(ARCH, **more)))
    return folder


@pytest.fixture(scope='session')
def clip_file(files) -> str:
    return str(files / 'clip.pt')


@pytest.fixture
def video():
    return torch.randn(2, 2, 3, 32, 32)


@pytest.fixture
def add_model(monkeypatch):
    """OpenCLIP's ``add_model_config``, for one test."""
    factory = open_clip.factory
    monkeypatch.setattr(factory, '_MODEL_CONFIG_PATHS',
                        list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, '_MODEL_CONFIGS',
                        dict(factory._MODEL_CONFIGS))
    return open_clip.add_model_config


@pytest.fixture
def refused(capsys, files, tmp_path):
    """Check that a conversion is refused and writes nothing."""

    def state():
        return {path: path.lstat().st_mtime_ns for folder in (files, tmp_path)
                for path in folder.rglob('*')}

    def check(src, source, target='vifi', *more,
              dst=tmp_path / 'refused.pth', names=()):
        before = state()
        refused_command(capsys, 'convert', src, dst, f'--source={source}',
                        f'--target={target}', *more, names=names)
        assert state() == before

    return check
