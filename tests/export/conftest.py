"""Tiny models with weights of no special value, exported once."""
import functools
from typing import Callable, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from helpers import write_mp4
from mmengine.config import Config
from tiny import model_cfg

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.export.formats import open_file
from projects.vifi_clip_tools.export.options import ExportOptions
from projects.vifi_clip_tools.export.run import Exported, export_model

_open = functools.cache(open_file)
FRAMES = 3
PIPELINE = [
    dict(type='VideoReader'),
    dict(type='SparseSampleViews', num_frames=FRAMES, num_views=1),
    dict(type='DecordDecodeOnce'),
    dict(type='Resize', scale=(-1, 40)),
    dict(type='CenterCrop', crop_size=32),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')]


class World(NamedTuple):
    """A model, and the files made of it."""
    infer: ViFiCLIPInferencer
    options: ExportOptions
    result: Exported

    def path(self, part: str, int8: bool = False) -> str:
        return f'{self.options.out}/{self.options.file_name(part, int8)}'

    def file(self, part: str, int8: bool = False) -> Callable:
        """A function that runs a part's file."""
        return _open(self.path(part, int8))


def _world(folder, fusion='embedding', prompts=None, templates=None,
           **kwargs) -> World:
    """Export a model in which no bias is 0 and no scale 1."""
    torch.manual_seed(0)
    model = model_cfg(
        prompts=prompts, num_frames=FRAMES, head=dict(fusion=fusion),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCHW',
            mean=[120., 110., 100.], std=[60., 50., 55.]))
    model['cls_head']['text_classifier']['templates'] = templates
    infer = ViFiCLIPInferencer(
        Config(dict(model=model, val_pipeline=PIPELINE)), device='cpu')
    with torch.no_grad():
        for value in infer.model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    options = ExportOptions(out=str(folder), frames=(2, ), batches=(1, ),
                            **kwargs)
    return World(infer, options, export_model(infer, options))


@pytest.fixture(scope='session')
def onnx_files(tmp_path_factory):
    """Deep prompts in both towers, as ONNX with int8 copies."""
    return _world(tmp_path_factory.mktemp('onnx'), int8=True,
                  prompts=dict(length=3, depth=2))


@pytest.fixture(scope='session')
def pt2_files(tmp_path_factory):
    """Decision fusion and two templates, as torch.export programs."""
    templates = ['a photo of a {}.', 'a video of {} by night.']
    return _world(tmp_path_factory.mktemp('pt2'), form='torch-export',
                  fusion='decision', templates=templates)


@pytest.fixture(params=[
    pytest.param('onnx_files', marks=pytest.mark.slow), 'pt2_files'])
def world(request):
    """Each of the two."""
    return request.getfixturevalue(request.param)


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
