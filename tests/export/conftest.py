"""Tiny models, exported once."""
import numpy as np
import pytest
from export_world import PROMPTS, TEMPLATES, build
from helpers import write_mp4

from projects.vifi_clip_tools.export.run import Options, export_model


@pytest.fixture(scope='session')
def prompted():
    """Deep prompts in both towers."""
    return build(prompts=PROMPTS)


@pytest.fixture(scope='session')
def by_frame():
    """Decision fusion, and two templates."""
    return build(fusion='decision', templates=TEMPLATES)


@pytest.fixture(scope='session')
def onnx_files(prompted, tmp_path_factory):
    """The first one as ONNX, with int8 copies."""
    options = Options(int8=True, frames=[2], batches=[1])
    return export_model(
        prompted, str(tmp_path_factory.mktemp('export') / 'onnx'), options)


@pytest.fixture(scope='session')
def pt2_files(by_frame, tmp_path_factory):
    """The second one as torch.export programs."""
    options = Options('torch-export', frames=[2], batches=[1])
    return export_model(
        by_frame, str(tmp_path_factory.mktemp('export') / 'pt2'), options)


@pytest.fixture
def exported(request, prompted, by_frame):
    """Model, its files and their ending, by the name of a format."""
    if request.param == 'onnx':
        return prompted, request.getfixturevalue('onnx_files'), '.onnx'
    return by_frame, request.getfixturevalue('pt2_files'), '.pt2'


@pytest.fixture(scope='session')
def videos(tmp_path_factory):
    """Clips of three sizes, and a list of them with labels."""
    folder = tmp_path_factory.mktemp('videos')
    draw = np.random.default_rng(0)
    lines = []
    for i, (width, height) in enumerate([(64, 48), (40, 40), (48, 80)]):
        # Smooth pictures: scaling noise would test the scaler's rounding.
        corners = draw.integers(0, 256, (9, 2, 2, 3)).astype(float)
        rows = np.linspace(1, 0, height)[:, None, None]
        columns = np.linspace(1, 0, width)[None, :, None]
        frames = [(rows * (columns * c[0, 0] + (1 - columns) * c[0, 1])
                   + (1 - rows) * (columns * c[1, 0] + (1 - columns)
                                   * c[1, 1])).astype(np.uint8)
                  for c in corners]
        write_mp4(folder / f'{i}.mp4', frames=frames)
        lines.append(f'{i}.mp4 {i}')
    (folder / 'list.txt').write_text('\n'.join(lines) + '\n')
    return folder
