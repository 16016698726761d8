"""A CLIP in OpenAI's layout, and frames to compare results on."""
import json

import open_clip
import pytest
import torch
from conversion_world import randomise
from open_clip.model import CLIP
from release_file import ARCH


@pytest.fixture(scope='session')
def clip() -> CLIP:
    return randomise(CLIP(**ARCH))


@pytest.fixture(scope='session')
def clip_file(clip, tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp('clip') / 'clip.pt')
    torch.save(clip.state_dict(), path)
    return path


@pytest.fixture
def video():
    return torch.randn(2, 2, 3, 32, 32)


@pytest.fixture(scope='session')
def arch_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('arch') / 'tiny-release.json'
    path.write_text(json.dumps(ARCH))
    open_clip.add_model_config(path)
    return str(path)
