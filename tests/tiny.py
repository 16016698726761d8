"""Tiny architectures of each family, and models made of them."""
import copy

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from open_clip.tokenizer import SimpleTokenizer

NAMES = ['archery', 'arm wrestling', 'playing_cards', 'zumba']

_VIT = dict(
    embed_dim=32, quick_gelu=True,
    vision_cfg=dict(
        image_size=32, layers=2, width=64, head_width=32, patch_size=8),
    text_cfg=dict(
        context_length=24, vocab_size=49408, width=32, heads=2, layers=2))


def tiny_arch(**changes) -> dict:
    """A two-layer ViT CLIP, D = 32, 32 x 32 pixels; ``changes`` are top-level
    settings, and some of ``vision_cfg=dict(...)`` or ``text_cfg``."""
    arch = copy.deepcopy(_VIT)
    for key, value in changes.items():
        arch[key] = {**arch[key], **value} if isinstance(
            value, dict) else value
    return arch


def timm_arch(name: str, **vision) -> dict:
    """A tiny CLIP whose image tower is a timm model."""
    cfg = dict(timm_model_name=name, timm_pool='', timm_proj='linear')
    return dict(tiny_arch(), vision_cfg=dict(cfg, **vision))


def classifier_cfg(**kwargs) -> dict:
    """Config of a tiny text classifier."""
    return dict(dict(type='CLIPTextClassifier', arch=tiny_arch(),
                     class_names=NAMES), **kwargs)


def build_classifier(**kwargs):
    """A tiny text classifier with weights that tell classes apart."""
    return MODELS.build(classifier_cfg(**kwargs)).eval()


def model_cfg(prompts=None, num_frames=2, head=None, **kwargs) -> dict:
    """Config of a tiny recognizer."""
    backbone = dict(type='CLIPVisionBackbone', arch=tiny_arch())
    if prompts:
        backbone.update(type='VLDeepPromptBackbone', prompts=prompts)
    cls_head = dict(dict(
        type='TemporalMeanPoolHead', in_channels=32, num_frames=num_frames,
        text_classifier=classifier_cfg(prompts=prompts)), **(head or {}))
    return {'type': 'ViFiCLIP', 'backbone': backbone, 'cls_head': cls_head,
            **kwargs}


def class_tokens(names=NAMES, length=24, template='a photo of a {}.'
                 ) -> torch.Tensor:
    """Token ids [K, length] of the classes' sentences."""
    return SimpleTokenizer(context_length=length)(
        [template.format(name.replace('_', ' ')) for name in names])


def build_model(**kwargs):
    """A tiny recognizer."""
    return MODELS.build(model_cfg(**kwargs))


def samples(labels):
    """Data samples with index labels (or the given tensors)."""
    return [ActionDataSample().set_gt_label(torch.as_tensor(label))
            for label in labels]


class Clips(torch.utils.data.Dataset):
    """Four clips of two frames."""
    metainfo = {}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, idx) -> dict:
        draw = torch.Generator().manual_seed(idx)
        return dict(
            inputs=torch.randint(0, 256, (2, 3, 32, 32), generator=draw,
                                 dtype=torch.uint8),
            data_samples=samples([[idx % len(NAMES)]])[0])
