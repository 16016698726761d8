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


def build(fusion='embedding', prompts=None, templates=None):
    """An inferencer in whose model no bias is 0 and no scale 1."""
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
    return infer


def read_metadata(path: str) -> Dict[str, Any]:
    """What an exported file says about itself."""
    if path.endswith('.pt2'):
        extra = {METADATA_FILE: ''}
        torch.export.load(path, extra_files=extra)
        return json.loads(extra[METADATA_FILE])
    return {entry.key: json.loads(entry.value)
            for entry in onnx.load(path).metadata_props}
