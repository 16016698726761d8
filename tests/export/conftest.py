"""Tiny models, exported once."""
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from export_world import build
from helpers import write_mp4

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.export.options import ExportOptions
from projects.vifi_clip_tools.export.run import Exported, export_model


class World(NamedTuple):
    """A model, and the files made of it."""
    infer: ViFiCLIPInferencer
    options: ExportOptions
    result: Exported

    def path(self, part: str, int8: bool = False) -> str:
        return f'{self.options.out}/{self.options.file_name(part, int8)}'


def _world(infer, folder, **kwargs) -> World:
    options = ExportOptions(out=str(folder), frames=(2, ), batches=(1, ),
                            **kwargs)
    return World(infer, options, export_model(infer, options))


@pytest.fixture(scope='session')
def onnx_files(tmp_path_factory):
    """Deep prompts in both towers, as ONNX with int8 copies."""
    return _world(build(prompts=dict(length=3, depth=2)),
                  tmp_path_factory.mktemp('onnx'), int8=True)


@pytest.fixture(scope='session')
def pt2_files(tmp_path_factory):
    """Decision fusion and two templates, as torch.export programs."""
    templates = ['a photo of a {}.', 'a video of {} by night.']
    return _world(build(fusion='decision', templates=templates),
                  tmp_path_factory.mktemp('pt2'), form='torch-export')


@pytest.fixture
def world(request):
    """One of the two, by its format."""
    return request.getfixturevalue(
        'onnx_files' if request.param == 'onnx' else 'pt2_files')


@pytest.fixture(scope='session')
def videos(tmp_path_factory):
    """Clips of three sizes, and a list of them with labels."""
    folder = tmp_path_factory.mktemp('videos')
    draw = np.random.default_rng(0)
    for i, (width, height) in enumerate([(64, 48), (40, 40), (48, 80)]):
        # Smooth pictures: scaling noise would test the scaler's rounding.
        corners = draw.integers(0, 256, (9, 2, 2, 3), np.uint8)
        write_mp4(folder / f'{i}.mp4', frames=[
            cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR)
            for c in corners])
    (folder / 'list.txt').write_text('0.mp4 0\n1.mp4 1\n2.mp4 2\n')
    return folder
