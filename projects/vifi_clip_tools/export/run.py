"""Write a model's parts and what tells of them, and see that each file gives
what the model gives."""
import json
import os
import os.path as osp
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import jinja2
import torch
from open_clip.utils import to_2tuple
from torch import nn
from tqdm import tqdm

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.apis.pipeline import pipeline_cfg
from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                     fingerprint)
from projects.vifi_clip.errors import need
from projects.vifi_clip.files import temporary_folder
from projects.vifi_clip.version import __version__
from ..cli.outputs import check_target
from ..cli.processes import ended_by_signals
from . import checking
from .checking import TOLERANCE, Check, Videos
from .formats import open_file, quantize_file, write_part
from .modules import build_parts
from .options import ExportOptions

_HERE = Path(__file__).parent


@dataclass
class Exported:
    """What was written and measured."""
    checks: List[Check] = field(default_factory=list)
    failed: Optional[str] = None  # file that differs; nothing was written
    sizes: Dict[str, int] = field(default_factory=dict)  # bytes by file
    # Of each int8 file, how many matrix products were quantised and left.
    products: Dict[str, dict] = field(default_factory=dict)
    accuracy: str = ''  # of the classifiers, a table

    def largest(self, name: str) -> float:
        """Return a file's largest difference from the model."""
        return max(c.difference for c in self.checks if c.file == name)


def export(options: ExportOptions) -> Optional[int]:
    """Export, check and report; return 1 where a file differs."""
    labels = None if options.labels is None else read_labels(options.labels)
    if options.form == 'onnx':
        for library in ('onnx', 'onnxscript', 'onnxruntime'):
            need(library, 'export')
        newest = need('onnx', 'export').defs.onnx_opset_version()
        if options.opset and options.opset > newest:
            raise ValueError(f'--opset {options.opset}: the installed onnx '
                             f'supports up to {newest}')
    for name in options.files():
        check_target('--out', osp.join(options.out, name),
                     [osp.splitext(name)[1]], options.overwrite)
    infer = options.model.load(labels=labels)
    videos = options.evaluate and checking.find_videos(
        options.evaluate, options.root, infer)
    result = export_model(infer, options, videos)
    if result.failed:
        print(checking.table(result.checks))
        print(f'error: {result.failed} differs from the model by more than '
              f'{TOLERANCE:g}; nothing was written', file=sys.stderr)
        return 1
    _report(result, options.out)
    return None


def export_model(infer: ViFiCLIPInferencer, options: ExportOptions,
                 videos: Optional[Videos] = None) -> Exported:
    """Write the parts of a model on CPU, check each against the model, and
    compare its classifiers on videos of :func:`.checking.find_videos`.

    The files appear in the folder when all are made and checked, and none
    of them if one fails. Existing files of these names are replaced.
    """
    result = Exported()
    modules = build_parts(infer.model, options.parts, options.pixels)
    meta = _describe(infer, options.pixels)
    os.makedirs(options.out, exist_ok=True)
    # Beside the files to be, since they may have hundreds of MB.
    with ended_by_signals(), temporary_folder(options.out) as folder:
        for part, module in tqdm(modules.items(), desc='export', unit='part',
                                 leave=False):
            _export_part(infer, part, module, folder, meta, options, result)
            if result.failed:
                return result
        for name in options.models():  # with NAME.data of a large one
            result.sizes[name] = sum(
                path.stat().st_size for path in folder.glob(f'{name}*'))
        if videos:
            scores = checking.evaluate_files(
                {name: open_file(osp.join(folder, name))
                 for name in options.models()
                 if name.startswith('classifier')}, videos, options.pixels,
                infer)
            result.accuracy = checking.accuracy_table(
                scores, [label for _, label in videos])
        _write_companions(
            folder, options, meta, infer.classifier,
            [(name, result.sizes[name], result.largest(name))
             for name in dict.fromkeys(c.file for c in result.checks)])
        for name in os.listdir(folder):
            os.replace(osp.join(folder, name), osp.join(options.out, name))
    return result


def _export_part(infer: ViFiCLIPInferencer, part: str, module: nn.Module,
                 folder: Path, meta: dict, options: ExportOptions,
                 result: Exported) -> None:
    """Write and check a part, and its int8 copy."""
    sizes = [(batch, length) for batch in options.batches
             for length in module.check_lengths(options.frames)]
    meta = dict(meta, part=part, precision='float32')
    if part == 'classifier':
        meta['class_names'] = infer.class_names
    plain = osp.join(folder, options.file_name(part))
    write_part(module, plain, options.form, meta, options.opset)
    for int8 in (False, True) if options.int8 else (False, ):
        name = options.file_name(part, int8)
        path = osp.join(folder, name)
        if int8:
            result.products[name] = quantize_file(plain, path)
        checks = checking.check_file(
            name, open_file(path), infer.model, module, sizes)
        result.checks += checks
        if not int8 and not all(check.passed for check in checks):
            result.failed = name
            return


def _describe(infer: ViFiCLIPInferencer, pixels: str) -> Dict[str, Any]:
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
        # The least and the most frames that run; None: any number
        frame_counts=getattr(head.temporal, 'frame_counts', (1, None)),
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
            # Words in whose place learnt prompts stand, before and behind
            # each sentence.
            context_words=classifier.context,
            context_behind=classifier.context_behind,
            # of several templates: of 'embedding', or of 'prob'
            average=classifier.average,
            templates=list(classifier.templates),
            descriptions=classifier.descriptions is not None),
        arch=settings.get('arch'),
        config=osp.basename(getattr(cfg, 'filename', None) or 'config'),
        checkpoint=infer.checkpoint and osp.basename(infer.checkpoint),
        weights_sha256=fingerprint(model.state_dict().items()),
        versions=dict(vifi_clip=__version__, torch=torch.__version__))


def _write_companions(folder: Path, options: ExportOptions,
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
    folder.joinpath('classes.json').write_text(
        json.dumps(classes, ensure_ascii=False), encoding='utf-8')
    template = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True).from_string(
            (_HERE / 'readme.md').read_text(encoding='utf-8'))
    folder.joinpath('README.md').write_text(template.render(
        meta, form=options.form, results=results,
        files={part: options.file_name(part) for part in options.parts}),
        encoding='utf-8')
    if options.form == 'onnx':
        shutil.copyfile(_HERE / 'example.py', folder / 'example.py')


def _report(result: Exported, folder: str) -> None:
    print('Largest difference from the model, on random input')
    print(checking.table(
        [c for c in result.checks if c.file not in result.products]))
    print(f'\nWritten to {folder}')
    for name, size in result.sizes.items():
        line = f'  {name:<24} {size / 1e6:>8.1f} MB'
        if count := result.products.get(name):
            line += (f'   {count["quantised"]} of {sum(count.values())} '
                     f'products int8, off by {result.largest(name):.0e}')
        print(line)
    if result.accuracy:
        print(f'\n{result.accuracy}')
