"""A trained model as a folder that works from anywhere: its weights, classes,
descriptions, and a config that names nothing outside of the folder.

Commands take the folder, or ``hf://ORGANISATION/NAME`` on the Hugging Face
Hub, in the place of a config.
"""
import copy
import json
import os
import os.path as osp
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import safetensors.torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from projects.vifi_clip_configs.knobs import is_place
from projects.vifi_clip_configs.shipped import MODEL_CONFIG, MODEL_WEIGHTS

from ..architectures import get_arch_cfg
from ..checkpoints.files import KEY, tensors_of
from ..checkpoints.settings import (collect_settings, lasting_parameters,
                                    saved_settings)
from ..datasets.class_list import read_class_list
from ..files import temporary_folder, write_bytes, write_text
from .config import without_pretrained
from .model_card import model_card, own_modules
from .shared_config import KEPT

CLASSES, CARD = 'classes.txt', 'README.md'
_HERE = '{{ fileDirname }}'  # MMEngine's, of the folder of a config
_CONFIG_HEAD = """# A trained model: {title}.
#
#   vifi-clip predict VIDEO --model FOLDER
#   TEST_LIST=list.txt VIDEO_DIR=videos vifi-clip test FOLDER
#
# Knobs: TEST_LIST (lines of "video label", labels by classes.txt), VIDEO_DIR.
load_from = '{here}/{weights}'
"""


def save_model_folder(cfg: Config, model: nn.Module,
                      checkpoint: Optional[str], folder: str,
                      metrics: Mapping[str, float] = {}) -> None:
    """Write a trained model as a folder, over an earlier one.

    Args:
        cfg (Config): What it was trained with.
        model (nn.Module): For weights that the checkpoint leaves out because
            they did not train.
        checkpoint (str, optional): File of its weights; None: those that the
            model has.
        folder (str): To write; other files in it stay.
        metrics (Mapping[str, float]): Results, for the model card.

    Raises:
        OSError: It cannot be written.
    """
    os.makedirs(osp.dirname(osp.abspath(folder)), exist_ok=True)
    if checkpoint:
        content = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    else:
        content = dict(state_dict=model.state_dict(), meta={
            KEY: collect_settings(model, cfg.model)})
    with temporary_folder(osp.dirname(osp.abspath(folder))) as part:
        made = osp.join(part, 'model')
        os.mkdir(made)
        settings = saved_settings(content)
        settings.pop('fingerprint', None)  # of weights that are left out
        write_bytes(osp.join(made, MODEL_WEIGHTS), safetensors.torch.save(
            _weights(tensors_of(content), model),
            {KEY: json.dumps(settings)}))
        _write_config(cfg, made, osp.basename(checkpoint or cfg.filename),
                      metrics)
        _copy_modules(cfg, made)
        # File by file: others in it are somebody's.
        os.makedirs(folder, exist_ok=True)
        for name in sorted(os.listdir(made), reverse=True):
            os.replace(osp.join(made, name), osp.join(folder, name))


def _copy_modules(cfg: Config, folder: str) -> None:
    """Copy a user's own modules; what else is imported has to be
    installed."""
    for name, file in own_modules(cfg).items():
        shutil.copyfile(file, osp.join(folder, f'{name}.py'))


def _weights(state: Mapping[str, Tensor],
             model: nn.Module) -> Dict[str, Tensor]:
    """The tensors of a checkpoint, and of the model what it lacks."""
    lacking = {name: value.detach().cpu() for name, value in
               lasting_parameters(model) if name not in state}
    return {name: value.detach().cpu().clone().contiguous()
            for name, value in {**lacking, **state}.items()}


def _write_config(cfg: Config, folder: str, title: str,
                  metrics: Mapping[str, float]) -> None:
    """Write the config, the classes and descriptions that it names, and the
    model card."""
    kept = {key: copy.deepcopy(cfg[key]) for key in KEPT if key in cfg}
    model = kept['model'] = without_pretrained(cfg.model)
    kept['knobs'] = {
        name: value for name, value in cfg.get('knobs', {}).items()
        if not (is_place(name) or os.sep in value)}
    kept.pop('vis_backends', None)  # a name for the next line's
    if kept.get('visualizer'):  # a test of it elsewhere logs nowhere else
        kept['visualizer']['vis_backends'] = [dict(type='LocalVisBackend')]
    for key in 'auxiliary', 'save_trainable_only', 'trainable', 'frozen':
        model.pop(key, None)
    for part, name in (('backbone', 'CLIPVisionBackbone'),
                       ('data_preprocessor', 'ActionDataPreprocessor')):
        if (model.get(part) or {}).pop('cache', None):  # of vifi_cached
            model[part]['type'] = name
    text = (model.get('cls_head') or {}).get('text_classifier') or {}
    for tower in model.get('backbone') or {}, text:
        if str(tower.get('arch', '')).endswith('.json'):
            tower['arch'] = get_arch_cfg(tower['arch'])
    names = text.get('class_names') or (
        text.get('class_file') and read_class_list(text['class_file']))
    if names:
        write_text(osp.join(folder, CLASSES), '\n'.join(names) + '\n')
        text.update(class_file=f'{_HERE}/{CLASSES}', class_names=None)
    if text.get('description_file'):
        text['description_file'] = _copied(text['description_file'], folder)
    if kept.get('test_dataloader'):
        _open_test(kept, bool(names))
    _decode_anew(kept)
    head = _CONFIG_HEAD.format(title=title, here=_HERE, weights=MODEL_WEIGHTS)
    body = Config(ConfigDict(kept), format_python_code=False).pretty_text
    write_text(osp.join(folder, MODEL_CONFIG), head + body)
    card = Path(cfg.filename or '').with_name(CARD)
    if Path(cfg.filename or '').name == MODEL_CONFIG and card.is_file():
        shutil.copyfile(card, osp.join(folder, CARD))  # of a folder like this
    else:
        write_text(osp.join(folder, CARD), model_card(
            cfg, osp.splitext(title)[0], len(names) if names else None,
            metrics))


def _open_test(kept: dict, classes: bool) -> None:
    """Let knobs say on which list a test runs, as one set."""
    kept['test_cfg'] = dict(type='TestLoop')
    dataset = kept['test_dataloader']['dataset']
    for key in 'data_root', 'class_file', 'num_classes':
        dataset.pop(key, None)
    dataset.update(ann_file='{{$TEST_LIST:TEST_LIST}}',
                   data_prefix=dict(video='{{$VIDEO_DIR:.}}'))
    if classes:
        dataset['class_file'] = f'{_HERE}/{CLASSES}'


def _decode_anew(kept: dict) -> None:
    """Name no folder of decoded frames (FRAMES_DIR) in the pipelines."""
    test = (kept.get('test_dataloader') or {}).get('dataset') or {}
    pipelines = [kept.get(f'{name}_pipeline')
                 for name in ('val', 'views', 'test')]
    for pipeline in (*pipelines, test.get('pipeline')):
        for step in pipeline or ():
            if step.get('type') == 'KeptVideoReader':
                step['type'] = 'VideoReader'
                del step['folder']


def _copied(files: Any, folder: str) -> List[str]:
    """Copy files into a folder; return their names in the config."""
    names = []
    for index, file in enumerate([files] if isinstance(files, str) else files):
        name = f'descriptions_{index}{osp.splitext(file)[1]}'
        shutil.copyfile(file, osp.join(folder, name))
        names.append(f'{_HERE}/{name}')
    return names


def best_checkpoint(runner: Any, latest: Optional[str]) -> Optional[str]:
    """Return the file of the best validation of a run, or else its last."""
    best = (getattr(hook, 'best_ckpt_path', None) for hook in runner.hooks)
    return next((path for path in best if path and osp.exists(path)), latest)
