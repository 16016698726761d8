"""Tiny models of each METHOD, with the settings of configs/."""
import os
from unittest.mock import patch

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import NAMES
from tiny_xclip import ARCH
from tools_world import NUM_FRAMES, PREPROCESSOR

from projects.vifi_clip_configs.shipped import root

METHODS = ['vifi', 'actionclip', 'xclip', 'a5', 'a6', 'tc_clip', 'st_adapter',
           'aim', 'lora']
_KNOBS = dict(lora=dict(METHOD='vifi', TUNE='lora'))  # that are no METHOD
# Those whose frames see each other in the image tower.
TOGETHER = ['xclip', 'tc_clip', 'st_adapter', 'aim']


def method_settings(method, **knobs) -> Config:
    """What configs/_base_ sets for the small world."""
    knobs = {'PRETRAINED': 'none', **_KNOBS.get(method, dict(METHOD=method)),
             **knobs}
    with patch.dict(os.environ, knobs):
        return Config.fromfile(root() / 'configs/_base_/models/mini.py')


def method_cfg(method, num_frames=NUM_FRAMES, **knobs) -> dict:
    """Config of a tiny model, D = 128, 32 x 32 pixels."""
    model = method_settings(method, **knobs).model.to_dict()
    model['backbone']['arch'] = ARCH
    head = model['cls_head']
    head['num_frames'] = num_frames
    head['text_classifier'].update(arch=ARCH, class_names=NAMES)
    model['data_preprocessor'] = PREPROCESSOR
    return model


def build_method(method, **kwargs):
    """A tiny model whose every parameter matters, in eval mode."""
    torch.manual_seed(0)
    model = MODELS.build(method_cfg(method, **kwargs)).eval()
    with torch.no_grad():
        for param in model.parameters():
            param.add_(0.05 * torch.randn_like(param))
    return model
