"""Tiny models with weights of no special value."""
import functools
import json
from typing import Any, Dict

import onnx
import torch
from mmengine.config import Config
from tiny import model_cfg

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.export.formats import METADATA_FILE, open_file

open_once = functools.cache(open_file)
FRAMES = 3
PIXELS = dict(mean=[120., 110., 100.], std=[60., 50., 55.])
PIPELINE = [
    dict(type='VideoReader'),
    dict(type='SparseSampleViews', num_frames=FRAMES, num_views=1),
    dict(type='DecordDecodeOnce'),
    dict(type='Resize', scale=(-1, 40)),
    dict(type='CenterCrop', crop_size=32),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
PROMPTS = dict(length=3, depth=2)
TEMPLATES = ['a photo of a {}.', 'a video of {} by night.']


def config(fusion: str = 'embedding', prompts=None, templates=None) -> Config:
    """Config of a tiny recognizer."""
    model = model_cfg(
        prompts=prompts, num_frames=FRAMES, head=dict(fusion=fusion),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCHW', **PIXELS))
    model['cls_head']['text_classifier']['templates'] = templates
    return Config(dict(model=model, val_pipeline=PIPELINE))


def build(**kwargs) -> ViFiCLIPInferencer:
    """A model in which no bias is 0 and no scale 1."""
    torch.manual_seed(0)
    infer = ViFiCLIPInferencer(config(**kwargs), device='cpu')
    with torch.no_grad():
        for value in infer.model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return infer


def read_metadata(path: str) -> Dict[str, Any]:
    """What an exported file says about itself."""
    if path.endswith('.pt2'):
        extra = {METADATA_FILE: ''}
        torch.export.load(path, extra_files=extra)
        return json.loads(extra[METADATA_FILE])
    return {entry.key: json.loads(entry.value)
            for entry in onnx.load(path).metadata_props}
