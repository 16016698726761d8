"""What an exported file says about itself, and the files beside it."""
import json
import os.path as osp
import shutil
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

import jinja2
import torch
from open_clip.utils import to_2tuple
from torch import nn

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.pipeline import pipeline_cfg
from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                     fingerprint)
from projects.vifi_clip.version import __version__
from .options import ExportOptions

_HERE = Path(__file__).parent


def describe(infer: ViFiCLIPInferencer, pixels: str) -> Dict[str, Any]:
    """Return the metadata that all parts of a model share: plain values that
    tell a program its input and output, and a person the weights."""
    model, cfg, head = infer.model, infer.cfg, infer.model.cls_head
    settings, classifier = collect_settings(model, cfg.model), infer.classifier
    hub = getattr(classifier.tokenizer, 'tokenizer', None)  # HFTokenizer's
    height, width = to_2tuple(model.backbone.visual.image_size)
    channels = 'BGR' if settings.get('to_rgb') else 'RGB'
    scales = [step.get('scale') for step in pipeline_cfg(cfg, 1)
              if step['type'] == 'Resize']
    return dict(
        format_version=1,
        image_size=[height, width],
        # None where the pipeline of one view does not scale to a shorter side
        resize_short_side=next(
            (max(scale) for scale in scales
             if isinstance(scale, (tuple, list)) and -1 in scale), None),
        num_frames=head.num_frames,
        frames=f'{channels} ' + (
            f'uint8 [batch, frames, {height}, {width}, 3]'
            if pixels == 'uint8' else
            f'float32 [batch, frames, 3, {height}, {width}], '
            '(pixel - mean) / std'),
        pixel_mean=settings.get('pixel_mean'),
        pixel_std=settings.get('pixel_std'),
        normalised_inside=pixels == 'uint8',
        embed_dim=classifier.embed_dim,
        fusion=head.fusion,
        logit_scale=float(head.logit_scale.detach().exp()),
        text=dict(
            tokenizer=getattr(hub, 'name_or_path', None) or (
                "CLIP's byte-pair encoding (open_clip.SimpleTokenizer)"),
            context_length=classifier.text.context_length,
            vocab_size=classifier.text.token_embedding.num_embeddings,
            # Words in whose place learnt prompts stand; before each sentence.
            context_words=classifier.context,
            templates=list(classifier.templates),
            descriptions=classifier.descriptions is not None),
        arch=settings.get('arch'),
        config=osp.basename(getattr(cfg, 'filename', None) or 'config'),
        checkpoint=infer.checkpoint and osp.basename(infer.checkpoint),
        weights_sha256=fingerprint(model.state_dict().items()),
        versions=dict(vifi_clip=__version__, torch=torch.__version__))


def write_companions(folder: str, options: ExportOptions,
                     meta: Dict[str, Any], classifier: nn.Module,
                     results: Sequence[Tuple[str, int, float]]) -> None:
    """Write README.md, classes.json and, for ONNX, example.py.

    ``results`` are each model file, its bytes, and its largest difference
    from the model. The classes' sentences are written as the text encoder
    takes them: S lists of ids of one length, and the class of each.
    """
    classes = dict(class_names=list(classifier.class_names),
                   owners=classifier.owners.tolist(),
                   tokens=classifier.tokens.tolist())
    Path(folder, 'classes.json').write_text(
        json.dumps(classes, ensure_ascii=False), encoding='utf-8')
    template = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True).from_string(
            (_HERE / 'readme.md').read_text(encoding='utf-8'))
    Path(folder, 'README.md').write_text(template.render(
        meta, form=options.form, results=results,
        files={part: options.file_name(part) for part in options.parts}),
        encoding='utf-8')
    if options.form == 'onnx':
        shutil.copyfile(_HERE / 'example.py', Path(folder, 'example.py'))
