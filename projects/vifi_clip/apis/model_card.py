"""The model card of a trained model, as the Hugging Face Hub reads it."""
import os.path as osp
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import open_clip
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from mmengine.config import Config

_TASK = 'video-classification'
# Metrics of ours as the Hub calls them.
_METRICS = {'acc/top1': ('accuracy', 'top-1 accuracy'),
            'acc/top5': ('accuracy', 'top-5 accuracy'),
            'acc/mean1': ('accuracy', 'mean class accuracy')}
_BODY = """
# {title}

A video CLIP (ViFi-CLIP, arXiv 2212.03640), trained with vifi_clip. It gives
scores to the labels that you name, and embeds videos and texts.

| | |
| --- | --- |
{rows}

## How to use

```python
from vifi_clip import ViFiCLIP

model = ViFiCLIP.from_pretrained('FOLDER')   # or 'ORGANISATION/NAME'
model('my_video.mp4', top_k=5)               # its own classes
model('my_video.mp4', candidate_labels=['juggling', 'knitting'])
```

```bash
vifi-clip predict my_video.mp4 --model FOLDER
vifi-clip predict my_video.mp4 --model FOLDER --labels "juggling, knitting"
```

## Licence and limits

To be completed: under which licence the weights may be used (`license` above;
those that they start from and the videos have licences, too), what the
videos show, and what the model should not be used for.
"""


def model_card(cfg: Config, title: str, num_classes: Optional[int],
               metrics: Mapping[str, float]) -> str:
    """Return the README.md of a model's folder.

    Args:
        cfg (Config): What it was trained with.
        title (str): Its name.
        num_classes (int, optional): None if it has no fixed classes.
        metrics (Mapping[str, float]): Results on the validation list, by
            their names in MMEngine's log; {} if it was not validated.
    """
    head = cfg.model.get('cls_head') or {}
    base, start = _base_model(cfg.model.get('backbone') or {})
    trained, _ = _data(cfg, 'train')
    validated, split = _data(cfg, 'val')
    results = []
    for name, value in metrics.items() if validated else ():
        kind, name = _METRICS.get(name, (name, name))
        results.append(EvalResult(
            task_type=_TASK, dataset_type=validated, dataset_name=validated,
            dataset_split=split, metric_type=kind, metric_name=name,
            metric_value=round(value, 4)))
    data = ModelCardData(
        library_name='vifi_clip', pipeline_tag=_TASK, license='unknown',
        base_model=base, model_name=title, eval_results=results or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        tags=['clip', 'zero-shot-video-classification', 'mmaction2'])
    text = head.get('text_classifier') or {}
    rows = {
        'starts from': start, 'trained on': trained, 'what trained':
        cfg.model.get('tune'), 'config': osp.basename(cfg.filename or ''),
        'own modules, which are code': ', '.join(
            f'{name}.py' for name in own_modules(cfg)),
        'frames of a video': head.get('num_frames'), 'classes': num_classes,
        'sentences of a class': text.get('templates'),
        **{f'{result.metric_name} on {validated} ({split})':
           result.metric_value for result in results}}
    body = _BODY.format(title=title, rows='\n'.join(
        f'| {name} | {value} |' for name, value in rows.items()
        if value not in (None, '')))
    return str(ModelCard(f'---\n{data.to_yaml()}\n---\n{body}'))


def _base_model(backbone: Mapping) -> Tuple[Optional[str], Optional[str]]:
    """The name on the Hub of the weights that training started from, None if
    they have none, and what to call them."""
    arch, tag = backbone.get('arch'), backbone.get('pretrained')
    if not isinstance(arch, str) or not isinstance(tag, str):
        return None, None
    known = open_clip.get_pretrained_cfg(arch, tag) or {}
    name = str(known.get('hf_hub') or '').rstrip('/') or None
    tag = osp.basename(tag)
    return name, arch if arch == tag else f'{arch}, {tag}'


def own_modules(cfg: Config) -> Dict[str, str]:
    """Return the files, by name, of the modules of custom_imports that are a
    file each, such as one beside the config."""
    names = (cfg.get('custom_imports') or {}).get('imports') or ()
    files = {name: getattr(sys.modules.get(name), '__file__', None) or ''
             for name in names if '.' not in name}
    return {name: file for name, file in files.items()
            if file.endswith(f'{name}.py')}


def _data(cfg: Config, part: str) -> Tuple[Optional[str], Optional[str]]:
    """What to call the data of a loader, and its list; None if unknown."""
    dataset: Any = (cfg.get(f'{part}_dataloader') or {}).get('dataset')
    while isinstance(dataset, Mapping) and 'ann_file' not in dataset:
        dataset = dataset.get('dataset')
    if not isinstance(dataset, Mapping) or not isinstance(
            dataset['ann_file'], str):
        return None, None
    path = Path(dataset.get('data_root') or '', dataset['ann_file'])
    folders = [name for name in path.parts[:-1] if name != 'annotations']
    name = cfg.get('dataset') or (folders[-1] if folders else path.stem)
    return str(name), path.stem


def validation_metrics(runner: Any, best: bool) -> Dict[str, float]:
    """Return the metrics of a run's last validation, or of the best, by which
    the checkpoint was kept; {} if there was none."""
    scalars = {
        name.removeprefix('val/'): np.atleast_1d(buffer.data[0])
        for name, buffer in runner.message_hub.log_scalars.items()
        if name.startswith('val/') and not name.endswith('time')}
    index, score = -1, runner.message_hub.runtime_info.get('best_score')
    keys = [key for hook in runner.hooks
            for key in getattr(hook, 'key_indicators', None) or []]
    for key in keys if best and score is not None else []:
        if key in scalars:
            index = int(np.abs(scalars[key] - score).argmin())
    return {name: float(values[index]) for name, values in scalars.items()
            if len(values) > index and np.isfinite(values[index])}
