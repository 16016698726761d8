"""The subjects: built in a process of their own, and called again and again.

Letters: B videos, V views, T frames, C classes.
"""
from typing import Callable

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from projects.vifi_clip.models.blocks import FusedBlock
from projects.vifi_clip.architectures import get_arch_cfg
from .cases import Case
from .inputs import batch, class_names, frames_of, image_size, precision
from .plain import PlainViFiCLIP, openclips_own
from .xclip import xclip_view

_IMAGENET = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def build_recognizer(case: Case, device: str) -> nn.Module:
    """Our recognizer, with random weights, as the configs build it."""
    arch, prompts = get_arch_cfg(case.arch), None
    if case.tune == 'prompts':  # in each of the 12 layers of ViT-B/16
        layers = [arch[f'{side}_cfg']['layers'] for side in ('vision', 'text')]
        prompts = dict(length=10, depth=min(layers))
    backbone = dict(type='CLIPVisionBackbone', arch=case.arch)
    if prompts:
        backbone.update(type='VLDeepPromptBackbone', prompts=prompts)
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ViFiCLIP',
            tune=case.tune,
            backbone=backbone,
            cls_head=dict(
                type='TemporalMeanPoolHead',
                in_channels=None,
                num_frames=case.frames,
                text_classifier=dict(
                    type='CLIPTextClassifier',
                    arch=case.arch,
                    prompts=prompts,
                    class_names=class_names(case.classes))),
            data_preprocessor=dict(
                type='ActionDataPreprocessor',
                format_shape='NCHW',
                **_IMAGENET)))
    return model.to(device)


def build(case: Case, device: str) -> Callable[[], Tensor]:
    """What to call again and again for a case; it returns scores or a loss.

    Raises:
        ValueError: A subject that cannot do this work.
    """
    if case.work == 'view':
        return _VIEWS[case.subject](case, device)
    from . import training, video_file
    builders = training.BUILDERS if case.work == 'step' else (
        video_file.BUILDERS)
    return builders[case.subject](case, device)


def _vifi_view(case: Case, device: str) -> Callable:
    model = build_recognizer(case, device).eval()
    if case.precision == 'pure-bf16':
        from projects.vifi_clip.engine.precision import apply_inference
        apply_inference(model, precision='bf16')
    frames = frames_of(case, image_size(case))
    return tester(model, lambda: batch(frames), case, device)


def tester(model: nn.Module, read: Callable[[], dict], case: Case,
           device: str) -> Callable[[], Tensor]:
    """A recognizer's test step on what ``read`` gives at each call."""

    def call() -> Tensor:
        with torch.no_grad(), precision(case, device):
            samples = model.test_step(read())
        return torch.stack([sample.pred_score for sample in samples])

    return call


def _encoder_view(case: Case, device: str) -> Callable:
    backbone = build_recognizer(case, device).eval().backbone
    dtype = torch.float32
    if case.precision == 'pure-bf16':
        dtype = torch.bfloat16
        backbone.to(dtype)
    x = frames_of(case, image_size(case)).to(device).flatten(0, 1)
    # [B, T, 3, H, W] -> [B*T, 3, H, W]
    x = ((x.float() - 127.5) / 64).to(dtype)

    def call() -> Tensor:
        with torch.no_grad(), precision(case, device):
            return backbone(x)

    return call


def _plain_view(case: Case, device: str) -> Callable:
    model = PlainViFiCLIP(
        build_recognizer(case, 'cpu'), case.frames).to(device).eval()
    frames = frames_of(case, image_size(case))

    def call() -> Tensor:
        with torch.no_grad(), precision(case, device):
            return model(frames.to(device))

    return call


def _mmaction2_view(case: Case, device: str) -> Callable:
    """MMAction2's recognizer and head over OpenCLIP's tower."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='Recognizer2D',
            backbone=dict(
                type='CLIPVisionBackbone', arch=case.arch,
                reuse_frames=False),
            cls_head=dict(
                type='TSNHead',
                num_classes=case.classes,
                in_channels=get_arch_cfg(case.arch)['embed_dim'],
                spatial_type=None,
                average_clips='prob'),
            data_preprocessor=dict(
                type='mmaction.ActionDataPreprocessor',
                format_shape='NCHW', **_IMAGENET))).to(device).eval()
    model.backbone.visual = openclips_own(model.backbone.visual)
    model.backbone.embed_chunk = model.backbone.visual
    assert not any(isinstance(m, FusedBlock) for m in model.modules())
    frames = frames_of(case, image_size(case))
    return tester(model, lambda: batch(frames), case, device)


_VIEWS = dict(
    vifi=_vifi_view,
    encoder=_encoder_view,
    plain=_plain_view,
    mmaction2=_mmaction2_view,
    xclip=xclip_view)
