"""The subjects: built in a process of their own, and called again and again.

Letters: B videos, V views, T frames, C classes.
"""
import logging
import tempfile
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any, Callable, Dict, Optional

import numpy as np
import torch

import projects.vifi_clip  # noqa: F401  before mmaction.models, see compat
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.engine.precision import apply_inference
from projects.vifi_clip.engine.hooks import TextAccumulationHook
from projects.vifi_clip.resources import root
from projects.vifi_clip_tools.complexity.measure import (batch, peak_bytes,
                                                         precision,
                                                         reset_peak,
                                                         synchronize)
from .plain import PlainViFiCLIP, openclips_own
from .workloads import Case, class_names

_IMAGENET = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
# The paper's; the rate does not matter to time.
_ADAMW = dict(lr=1e-6, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.001)
_state: Dict[str, Callable] = {}  # of the process: the subject


def start(case: Case, device: str, threads: int, video: Optional[str]
          ) -> None:
    """Build the subject of this process.

    Args:
        case (Case): What to do.
        device (str): 'cpu' or 'cuda'.
        threads (int): Of torch.
        video (str, optional): The file to read; None for a synthetic one.
    """
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    _state['call'] = build(case, device, video)
    reset_peak(device)


def run(device: str) -> Dict[str, Any]:
    """Call the subject once; returns ``seconds``, ``peak`` (bytes) and the
    first 4,000 numbers of its ``result``."""
    synchronize(device)
    begin = perf_counter()
    result = _state['call']()
    synchronize(device)
    seconds = perf_counter() - begin
    return dict(seconds=seconds, peak=peak_bytes(device),
                result=result.float().cpu().flatten()[:4000].tolist())


def build(case: Case, device: str, video: Optional[str] = None
          ) -> Callable[[], Tensor]:
    """Build what to call for a case; it returns scores or a loss.

    Raises:
        KeyError: A subject that cannot do this work.
    """
    if case.work == 'file':
        return _file(case, device, video or synthetic_video())
    return _BUILDERS[case.work][case.subject](case, device)


def build_recognizer(case: Case, device: str) -> nn.Module:
    """Build our recognizer as the configs do, with random weights."""
    arch, prompts = get_arch_cfg(case.arch), None
    backbone = dict(type='CLIPVisionBackbone', arch=case.arch)
    if case.tune == 'prompts':  # in each of the 12 layers of ViT-B/16
        layers = [arch[f'{side}_cfg']['layers'] for side in ('vision', 'text')]
        prompts = dict(length=10, depth=min(layers))
        backbone.update(type='VLDeepPromptBackbone', prompts=prompts)
    torch.manual_seed(0)
    classifier = dict(type='CLIPTextClassifier', arch=case.arch,
                      prompts=prompts, class_names=class_names(case.classes))
    return MODELS.build(dict(
        type='ViFiCLIP', tune=case.tune, backbone=backbone,
        cls_head=dict(
            type='TemporalMeanPoolHead', in_channels=None,
            num_frames=case.frames, text_classifier=classifier),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCHW', **_IMAGENET))
    ).to(device)


def frames_of(case: Case) -> Tensor:
    """Return uint8 frames [B, T, 3, H, W], every one another."""
    size = get_arch_cfg(case.arch)['vision_cfg']['image_size']
    return torch.randint(
        0, 256, (case.batch, case.frames, 3, size, size), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(1))


def _computing(case: Case, device: str, call: Callable[[], Tensor]
               ) -> Callable[[], Tensor]:
    """Call without gradients and in the case's precision."""

    def computed() -> Tensor:
        with torch.no_grad(), precision(case.precision, device):
            return call()

    return computed


def _tester(model: nn.Module, read: Callable[[], dict]
            ) -> Callable[[], Tensor]:
    return lambda: torch.stack(
        [sample.pred_score for sample in model.test_step(read())])


def _vifi_view(case: Case, device: str) -> Callable[[], Tensor]:
    model = build_recognizer(case, device).eval()
    if case.precision == 'pure-bf16':
        apply_inference(model, precision='bf16')
    data = batch(frames_of(case))
    return _computing(case, device, _tester(model, lambda: data))


def _encoder_view(case: Case, device: str) -> Callable[[], Tensor]:
    dtype = (torch.bfloat16 if case.precision == 'pure-bf16'
             else torch.float32)
    backbone = build_recognizer(case, device).eval().backbone.to(dtype)
    x = frames_of(case).to(device).flatten(0, 1)
    # [B, T, 3, H, W] -> [B*T, 3, H, W]
    x = ((x.float() - 127.5) / 64).to(dtype)
    return _computing(case, device, lambda: backbone(x))


def _plain(case: Case, device: str) -> PlainViFiCLIP:
    return PlainViFiCLIP(build_recognizer(case, 'cpu'), case.frames).to(device)


def _plain_view(case: Case, device: str) -> Callable[[], Tensor]:
    model, frames = _plain(case, device).eval(), frames_of(case)
    return _computing(case, device, lambda: model(frames.to(device)))


def _mmaction2_view(case: Case, device: str) -> Callable[[], Tensor]:
    """Put MMAction2's recognizer and head over OpenCLIP's tower."""
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='Recognizer2D',
        backbone=dict(type='CLIPVisionBackbone', arch=case.arch),
        cls_head=dict(
            type='TSNHead', num_classes=case.classes, spatial_type=None,
            in_channels=get_arch_cfg(case.arch)['embed_dim'],
            average_clips='prob'),
        data_preprocessor=dict(
            type='mmaction.ActionDataPreprocessor', format_shape='NCHW',
            **_IMAGENET))).to(device).eval()
    model.backbone = openclips_own(model.backbone.visual)
    data = batch(frames_of(case))
    return _computing(case, device, _tester(model, lambda: data))


def _xclip_view(case: Case, device: str) -> Callable[[], Tensor]:
    """Build transformers' X-CLIP with towers of the same size. Text is padded
    to the longest prompt, as its processor does, and encoded at each call, as
    its model does."""
    import open_clip
    from transformers import XCLIPConfig, XCLIPModel
    arch = get_arch_cfg(case.arch)
    vision, text = arch['vision_cfg'], arch['text_cfg']
    towers = {
        f'{side}_config': dict(
            hidden_size=cfg['width'], intermediate_size=4 * cfg['width'],
            num_hidden_layers=cfg['layers'],
            num_attention_heads=cfg.get('heads') or (
                cfg['width'] // cfg.get('head_width', 64)))
        for side, cfg in (('vision', vision), ('text', text))}
    towers['vision_config'].update(
        image_size=vision['image_size'], patch_size=vision['patch_size'],
        mit_hidden_size=arch['embed_dim'], num_frames=case.frames,
        mit_intermediate_size=4 * arch['embed_dim'])
    torch.manual_seed(0)
    model = XCLIPModel(XCLIPConfig(
        projection_dim=arch['embed_dim'], **towers)).to(device).eval()
    sentences = [f'a photo of a {n}.' for n in class_names(case.classes)]
    tokens = open_clip.get_tokenizer('ViT-B-16')(sentences)
    tokens = tokens[:, :int(tokens.argmax(-1).max()) + 1].to(device)
    frames = frames_of(case).to(device)

    def call() -> Tensor:
        x = (frames.float() - 127.5) / 64
        return model(input_ids=tokens, pixel_values=x
                     ).logits_per_video.softmax(-1)

    return _computing(case, device, call)


def _file(case: Case, device: str, video: str) -> Callable[[], Tensor]:
    """Read a file by the test pipeline of ``configs/vifi_k400.py``."""
    init_default_scope('mmaction')
    steps = Config.fromfile(
        str(root() / 'configs/_base_/pipelines/frames16.py')).views_pipeline
    for step in steps:
        if step.type == 'SparseSampleViews':
            step.num_frames = case.frames
    pipeline = Compose(steps)

    def read() -> dict:
        return pseudo_collate([pipeline(dict(
            filename=video, label=0, start_index=0, modality='RGB'))])

    if case.subject == 'vifi':
        model = build_recognizer(case, device).eval()
        return _computing(case, device, _tester(model, read))
    if case.subject != 'plain':
        raise KeyError(case.subject)
    plain = _plain(case, device).eval()

    def call() -> Tensor:
        frames = read()['inputs'][0].unflatten(0, (-1, case.frames))
        # [V*T, 3, H, W] -> [V, T, 3, H, W]: one batch
        return plain(frames.to(device)).mean(0, keepdim=True)

    return _computing(case, device, call)


def synthetic_video() -> str:
    """Return a file of 10 s of moving noise at 340 x 256 pixels and 30 frames
    a second, as Kinetics is usually kept."""
    from projects.vifi_clip_tools.cli.h264 import write_h264
    path = Path(tempfile.gettempdir()) / 'vifi_benchmark.mp4'
    if not path.exists():
        # Twice the size of a frame; a window moves over it.
        picture = np.random.RandomState(0).randint(
            0, 256, (64, 85, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        part = path.with_suffix('.part')
        write_h264(str(part), (
            np.ascontiguousarray(picture[i // 2:i // 2 + 256, i:i + 340])
            for i in range(300)), Fraction(30), crf=23)
        part.replace(path)
    return str(path)


def _vifi_step(case: Case, device: str) -> Callable[[], Tensor]:
    """Take optimizer steps as MMEngine's runner does."""
    model = build_recognizer(case, device)
    wrapper = build_optim_wrapper(model, dict(
        type='mmaction.AutocastOptimWrapper',
        dtype='bfloat16' if case.precision == 'bf16' else 'float32',
        accumulative_counts=case.accumulate,
        optimizer=dict(type='AdamW', fused=True, **_ADAMW)))
    model.train()
    data = batch(frames_of(case), range(case.batch))
    hook = TextAccumulationHook()
    runner: Any = SimpleNamespace(model=model, optim_wrapper=wrapper)

    def call() -> Tensor:
        for _ in range(case.accumulate):
            if case.once:
                hook.before_train_iter(runner, 0)
            losses = model.train_step(data, wrapper)
        return losses['loss'].detach()

    return call


def _plain_step(case: Case, device: str) -> Callable[[], Tensor]:
    model, frames = _plain(case, device).train(), frames_of(case)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, **_ADAMW)
    labels = torch.arange(case.batch, device=device)

    def call() -> Tensor:
        for _ in range(case.accumulate):
            with precision(case.precision, device):
                loss = model(frames.to(device), labels)
            (loss / case.accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return call


_BUILDERS = dict(
    view=dict(vifi=_vifi_view, encoder=_encoder_view, plain=_plain_view,
              mmaction2=_mmaction2_view, xclip=_xclip_view),
    step=dict(vifi=_vifi_step, plain=_plain_step))
