"""The subjects: built in a process of their own, and called again and again.

Letters: B videos, V views, T frames, C classes.
"""
import copy
import logging
import tempfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Optional

import numpy as np
import torch
import torch.nn.functional as F

import projects.vifi_clip  # noqa: F401  before mmaction.models, see compat
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.engine.hooks import TextAccumulationHook
from projects.vifi_clip.engine.precision import apply_inference
from projects.vifi_clip.models.blocks import FusedBlock
from projects.vifi_clip_tools.cli.media import write_h264
from projects.vifi_clip_tools.complexity import count, measure
from projects.vifi_clip_tools.complexity.specs import Spec, load_spec
from .workloads import Case, class_names

# The paper's; the rate does not matter to time.
_ADAMW = dict(lr=1e-6, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.001)
_state: Dict[str, Callable] = {}  # of the process: the subject
Call = Callable[[], Tensor]
Read = Callable[[], dict]


def start(case: Case, device: str, threads: int, video: Optional[str]
          ) -> None:
    """Build the subject of this process; ``video`` is the file to read, None
    for a synthetic one."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    _state['call'] = build(case, device, video)
    measure.reset_peak(device)


def run(device: str) -> Dict[str, Any]:
    """Call the subject once; returns ``seconds``, ``peak`` (bytes) and the
    first 4,000 numbers of its ``result``."""
    seconds, result = measure.timed(_state['call'], device)
    return dict(seconds=seconds, peak=measure.peak_bytes(device),
                result=result.float().cpu().flatten()[:4000].tolist())


def build(case: Case, device: str, video: Optional[str] = None) -> Call:
    """Build what to call for a case; it returns scores or a loss. KeyError
    for a subject that cannot do this work."""
    if case.work == 'step':
        return _STEPS[case.subject](case, device)
    call = _TESTS[case.subject](case, device, _reader(case, video))

    def computed() -> Tensor:
        with torch.no_grad(), measure.precision(case.precision, device):
            return call()

    return computed


def config_of(case: Case) -> Config:
    """Return ``configs/vifi_k400.py`` with the case's settings."""
    knobs = dict(METHOD=case.method, TUNE=case.tune,
                 NUM_FRAMES=str(case.frames))
    cfg = load_spec(Spec('', 'vifi_k400', {
        name: value for name, value in knobs.items() if value}))
    head = cfg.model.cls_head
    # Blended frames and smoothed labels are not what plain computes.
    del cfg.model.data_preprocessor.blending, head.label_smooth_eps
    # Takes samples that are unfinished; all others are to it as ever.
    cfg.model.data_preprocessor.type = 'DeviceTransforms'
    del head.text_classifier.class_file
    head.text_classifier.class_names = class_names(case.classes)
    cfg.model.backbone.arch = head.text_classifier.arch = case.arch
    return cfg


def build_recognizer(case: Case, device: str) -> nn.Module:
    """Build our recognizer as the configs do, with random weights."""
    torch.manual_seed(0)
    return count.build(config_of(case)).to(device)


def frames_of(case: Case) -> Tensor:
    """Return uint8 frames [B, T, 3, H, W], every one another."""
    size = get_arch_cfg(case.arch)['vision_cfg']['image_size']
    return torch.randint(
        0, 256, (case.batch, case.frames, 3, size, size), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(1))


def _reader(case: Case, video: Optional[str]) -> Read:
    """Return what reads the views of a file, or has one in memory."""
    if case.work == 'view':
        data = measure.batch(frames_of(case))
        return lambda: data
    pipeline = Compose(config_of(case).test_pipeline)
    sample = dict(filename=video or synthetic_video(), label=0, start_index=0,
                  modality='RGB')
    return lambda: pseudo_collate([pipeline(dict(sample))])


def _tester(model: nn.Module, read: Read) -> Call:
    return lambda: torch.stack(
        [sample.pred_score for sample in model.test_step(read())])


def _vifi(case: Case, device: str, read: Read) -> Call:
    model = build_recognizer(case, device).eval()
    if case.precision == 'pure-bf16':
        apply_inference(model, precision='bf16')
    return _tester(model, read)


def _encoder(case: Case, device: str, read: Read) -> Call:
    dtype = (torch.bfloat16 if case.precision == 'pure-bf16'
             else torch.float32)
    backbone = build_recognizer(case, device).eval().backbone.to(dtype)
    x = frames_of(case).to(device).flatten(0, 1)
    # [B, T, 3, H, W] -> [B*T, 3, H, W]
    x = ((x.float() - 127.5) / 64).to(dtype)
    return lambda: backbone(x)


class PlainViFiCLIP(nn.Module):
    """ViFi-CLIP written down straight from section 4 of the paper.

    Every frame through the image encoder, the mean of the frames' embeddings,
    and at each step every prompted class name through the text encoder at the
    context's full 77 tokens; cosine similarity over the temperature. No
    cache, no truncation, and OpenCLIP's own blocks. It is what others are
    measured against, so nothing of this package's computing is used.

    Args:
        model (nn.Module): A :class:`ViFiCLIP` whose weights and classes to
            copy, and which of them train.
        num_frames (int): T.
    """

    def __init__(self, model: nn.Module, num_frames: int) -> None:
        super().__init__()
        classifier = model.cls_head.text_classifier
        self.num_frames = num_frames
        self.visual = openclips_own(model.backbone.visual)
        self.text = openclips_own(classifier.text)
        self.logit_scale = copy.deepcopy(model.cls_head.logit_scale)
        stats = model.data_preprocessor
        self.register_buffer('mean', stats.mean.detach().clone())  # [3, 1, 1]
        self.register_buffer('std', stats.std.detach().clone())
        template = classifier.templates[0]
        self.register_buffer('tokens', classifier.tokenizer([
            template.replace('{}', name.replace('_', ' '))
            for name in classifier.class_names]))
        # [C, 77]

    def forward(self, frames: Tensor, labels: Optional[Tensor] = None):
        """Return class probabilities [B, C] of frames, uint8 [B, T, 3, H, W],
        or the loss where labels [B] are given."""
        x = frames.flatten(0, 1)
        # [B, T, 3, H, W] -> [B*T, 3, H, W]
        x = (x.float() - self.mean) / self.std
        video = self.visual(x).unflatten(0, (-1, self.num_frames)).mean(1)
        # [B*T, D] -> [B, D]
        classes = self.text(self.tokens)
        video = F.normalize(video, dim=-1)
        classes = F.normalize(classes, dim=-1)
        logits = self.logit_scale.exp() * video @ classes.T
        if labels is None:
            return logits.softmax(-1)
        return F.cross_entropy(logits, labels)


def openclips_own(tower: nn.Module) -> nn.Module:
    """Copy an image or text tower so that no block is ours."""
    tower = copy.deepcopy(tower)
    for module in tower.modules():
        if type(module) is FusedBlock:
            module.__class__ = ResidualAttentionBlock
    return tower


def _plain_model(case: Case, device: str) -> PlainViFiCLIP:
    return PlainViFiCLIP(build_recognizer(case, 'cpu'), case.frames).to(device)


def _plain(case: Case, device: str, read: Read) -> Call:
    model = _plain_model(case, device).eval()

    def call() -> Tensor:
        x = torch.stack(read()['inputs']).to(device)
        views = x.flatten(0, 1).unflatten(0, (-1, case.frames))
        # [B, V*T, 3, H, W] -> [B*V, T, 3, H, W]: one batch
        return model(views).unflatten(0, (len(x), -1)).mean(1)
        # [B*V, C] -> [B, C]

    return call


def _mmaction2(case: Case, device: str, read: Read) -> Call:
    """Put MMAction2's recognizer and head over OpenCLIP's tower."""
    cfg = load_spec(Spec('', 'mix/clip_b16_tsn_head_k400')).model
    cfg.backbone.arch = case.arch
    cfg.cls_head.update(num_classes=case.classes,
                        in_channels=get_arch_cfg(case.arch)['embed_dim'])
    torch.manual_seed(0)
    model = MODELS.build(cfg).to(device).eval()
    model.backbone = openclips_own(model.backbone.visual)
    return _tester(model, read)


def _xclip(case: Case, device: str, read: Read) -> Call:
    """Build transformers' X-CLIP, ViT-B/16 whatever the case says. Text is
    padded to the longest prompt, as its processor does, and encoded at each
    call, as its model does."""
    import open_clip
    from transformers import XCLIPConfig, XCLIPModel
    frames = frames_of(case).to(device)
    torch.manual_seed(0)
    model = XCLIPModel(XCLIPConfig(vision_config=dict(
        patch_size=16, num_frames=case.frames, image_size=frames.shape[-1])
    )).to(device).eval()
    tokens = open_clip.get_tokenizer('ViT-B-16')(
        [f'a photo of a {name}.' for name in class_names(case.classes)])
    tokens = tokens[:, :int(tokens.argmax(-1).max()) + 1].to(device)
    return lambda: model(
        input_ids=tokens, pixel_values=(frames.float() - 127.5) / 64
    ).logits_per_video.softmax(-1)


def synthetic_video() -> str:
    """Return a file of 10 s of moving noise at 340 x 256 pixels and 30 frames
    a second, as Kinetics is usually kept."""
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


def training_step(case: Case, device: str) -> Callable[[dict], Tensor]:
    """Build what takes an optimizer step on a batch as MMEngine's runner
    does, and returns the loss."""
    model = build_recognizer(case, device)
    wrapper = build_optim_wrapper(model, dict(
        type='mmaction.AutocastOptimWrapper',
        dtype='bfloat16' if case.precision == 'bf16' else 'float32',
        accumulative_counts=case.accumulate,
        optimizer=dict(type='AdamW', fused=True, **_ADAMW)))
    model.train()
    hook = TextAccumulationHook()
    runner: Any = SimpleNamespace(model=model, optim_wrapper=wrapper)

    def step(data: dict) -> Tensor:
        for _ in range(case.accumulate):
            if case.once:
                hook.before_train_iter(runner, 0)
            losses = model.train_step(data, wrapper)
        return losses['loss'].detach()

    return step


def _vifi_step(case: Case, device: str) -> Call:
    step = training_step(case, device)
    data = measure.batch(frames_of(case), range(case.batch))
    return lambda: step(data)


def _plain_step(case: Case, device: str) -> Call:
    model, frames = _plain_model(case, device).train(), frames_of(case)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, **_ADAMW)
    labels = torch.arange(case.batch, device=device)

    def call() -> Tensor:
        for _ in range(case.accumulate):
            with measure.precision(case.precision, device):
                loss = model(frames.to(device), labels)
            (loss / case.accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return call


_TESTS = dict(vifi=_vifi, encoder=_encoder, plain=_plain,
              mmaction2=_mmaction2, xclip=_xclip)
_STEPS = dict(vifi=_vifi_step, plain=_plain_step)
