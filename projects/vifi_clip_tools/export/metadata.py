"""What an exported file says about itself, as plain data."""
import os.path as osp
from typing import Any, Dict, Optional

import torch
from torch import nn

from projects.vifi_clip.apis.pipeline import pipeline_cfg
from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                     fingerprint)
from projects.vifi_clip.version import __version__
from .modules import image_size

FORMAT_VERSION = 1


def describe(model: nn.Module, cfg, checkpoint: Optional[str],
             pixels: str) -> Dict[str, Any]:
    """Metadata that all parts of a model share.

    Args:
        model (nn.Module): A ViFiCLIP.
        cfg (Config): Its config.
        checkpoint (str, optional): Where its weights came from.
        pixels (str): 'uint8' or 'float'; see :class:`VideoEncoder`.

    Returns:
        dict: Plain values, in which a program finds how to make the input
        and what the output means, and a person which weights these are.
    """
    head = model.cls_head
    settings = collect_settings(model, cfg.model)
    height, width = image_size(model.backbone)
    channels = 'BGR' if settings.get('to_rgb') else 'RGB'
    return dict(
        format_version=FORMAT_VERSION,
        image_size=[height, width],
        resize_short_side=_short_side(cfg),
        num_frames=head.num_frames,
        frames=f'{channels} ' + (
            f'uint8 [batch, frames, {height}, {width}, 3]'
            if pixels == 'uint8' else
            f'float32 [batch, frames, 3, {height}, {width}], '
            '(pixel - mean) / std'),
        pixel_mean=settings.get('pixel_mean'),
        pixel_std=settings.get('pixel_std'),
        normalised_inside=pixels == 'uint8',
        embed_dim=head.text_classifier.embed_dim,
        fusion=head.fusion,
        logit_scale=float(head.logit_scale.detach().exp()),
        text=_text(head.text_classifier),
        arch=settings.get('arch'),
        config=osp.basename(getattr(cfg, 'filename', None) or 'config'),
        checkpoint=osp.basename(checkpoint) if checkpoint else None,
        weights_sha256=fingerprint(model.state_dict().items()),
        versions=dict(vifi_clip=__version__, torch=torch.__version__))


def _short_side(cfg) -> Optional[int]:
    """Pixels that the pipeline of one view scales the shorter side to;
    None where it does not."""
    for step in pipeline_cfg(cfg, 1):
        if step['type'] == 'Resize':
            scale = step.get('scale')
            if isinstance(scale, (tuple, list)) and -1 in scale:
                return max(scale)
    return None


def _text(classifier: nn.Module) -> Dict[str, Any]:
    """How sentences and token ids are made."""
    tokenizer = classifier.tokenizer
    hub = getattr(tokenizer, 'tokenizer', None)  # OpenCLIP's HFTokenizer
    name = getattr(hub, 'name_or_path', None) or (
        "CLIP's byte-pair encoding (open_clip.SimpleTokenizer)")
    return dict(
        tokenizer=name,
        context_length=classifier.text.context_length,
        vocab_size=classifier.text.token_embedding.num_embeddings,
        # Words in whose place learnt prompts stand; before each sentence.
        context_words=classifier._context,
        templates=list(classifier.templates),
        descriptions=classifier.descriptions is not None)


def describe_classes(model: nn.Module) -> Dict[str, Any]:
    """Metadata of the classifier alone: its classes, in label order."""
    return dict(class_names=list(model.cls_head.text_classifier.class_names))


def sentences(model: nn.Module) -> Dict[str, Any]:
    """The classes as the text encoder takes them.

    Returns:
        dict: ``tokens`` (S lists of ids of one length), ``owners`` (index of
        each sentence's class) and ``class_names``.
    """
    classifier = model.cls_head.text_classifier
    return dict(
        class_names=list(classifier.class_names),
        owners=classifier.owners.tolist(),
        tokens=classifier.tokens.tolist())
