"""Weights read, averaged and interpolated (methods.md, A)."""
import os.path as osp
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch

from projects.vifi_clip.apis.identity import differences
from projects.vifi_clip.checkpoints.files import load_weights, tensors_of
from projects.vifi_clip.checkpoints.layouts import (StateDict, detect_layout,
                                                    read_layout, write_vifi)
from projects.vifi_clip.checkpoints.lora import fold_lora, has_lora
from projects.vifi_clip.checkpoints.settings import (fingerprint,
                                                     saved_settings)
from projects.vifi_clip.models.towers import (compare, read_clip_state_dict,
                                              resolve_pretrained)

# Of batch normalisation; CLIP's towers have no other buffers that train.
_BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked')
# May differ among checkpoints that are averaged.
_NOTES = ('version', 'tune', 'num_frames', 'fusion', 'merged')


@dataclass
class Tuned:
    """Weights in the layout of our checkpoints."""
    path: str
    state: StateDict
    settings: Dict[str, Any]  # see checkpoints.settings.collect_settings
    folded: bool = False  # whether the file has LoRA, which they contain


def read_tuned(path: str) -> Tuned:
    """Read a checkpoint of ours, LoRA folded into its weights; ValueError if
    it is none, or holds LoRA without them."""
    content = load_weights(path)
    state = tensors_of(content)
    layout = detect_layout(state, path)
    if layout != 'vifi':
        raise ValueError(f'{path} is not a checkpoint of ours (its layout is '
                         f'{layout}): vifi-clip convert makes it one')
    try:
        plain = fold_lora(state)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    return Tuned(path, plain, saved_settings(content), has_lora(state))


def epochs_of(names: Sequence[str]) -> List[str]:
    """List files, and in the place of a folder its checkpoints by epoch;
    ValueError for a folder without any."""
    paths = []
    for name in names:
        found = [path for path in Path(name).glob('epoch_*.pth')
                 if path.stem[6:].isdecimal()]
        if osp.isdir(name) and not found:
            raise ValueError(f'{name} holds no epoch_*.pth; name the files')
        found.sort(key=lambda path: int(path.stem[6:]))
        paths += map(str, found or [name])
    return paths


def read_mean(paths: Sequence[str]) -> Tuned:
    """Read the mean of two checkpoints or more, one at a time, in float32;
    buffers are the last one's.

    A running mean, as that of MMEngine's StochasticWeightAverage, bit by bit:
    what did not train stays as it is. ValueError if they do not belong
    together.
    """
    if len(paths) < 2:
        raise ValueError('--mean needs two checkpoints or more, got '
                         f'{paths[0]} alone')
    first = read_tuned(paths[0])
    mean = dict(first.state)
    for count, path in enumerate(paths[1:], 2):
        other = read_tuned(path)
        _check_fit(first.path, compare(mean, other.state), other.path,
                   differences(first.settings, other.settings, _NOTES))
        for key, value in other.state.items():
            if value.is_floating_point() and not key.endswith(_BUFFERS):
                value = torch.add(mean[key].float(), value - mean[key].float(),
                                  alpha=1 / count)
            mean[key] = value
    names = list(map(osp.basename, paths))
    return Tuned(first.path, mean, dict(first.settings, merged=names),
                 first.folded)


def read_clip(name: str, tuned: Tuned) -> StateDict:
    """Read the parameters of a CLIP, anything that ``pretrained`` takes, by
    their names in the fine-tuned weights, in float32; ValueError if the two
    are not of one architecture."""
    path = resolve_pretrained(tuned.settings.get('arch'), name)
    clip = read_clip_state_dict(path, True, tuned.settings)
    ours = read_layout(tuned.state, 'vifi', tuned.path)
    absent = {key: clip[key] for key in clip if key not in ours.weights}
    expected = tuned.settings.get('fingerprint')
    if expected:  # it holds only what was trained
        if expected != fingerprint(write_vifi(absent).weights.items()):
            raise ValueError(f'{name} is not the CLIP that {tuned.path}, which'
                             ' holds only what was trained, was trained from')
    else:  # a fixed temperature, and what only SigLIP's loss reads, may lack
        absent = {key: clip[key] for key in absent if key.startswith('logit_')}
    given = {key: value for key, value in clip.items() if key not in absent}
    _check_fit(tuned.path, compare(
        {key: value for key, value in ours.weights.items()
         if key in given or key.startswith(('visual.', 'text.'))}, given),
        name, [])
    shared = {old: given[key].reshape(tuned.state[old].shape)
              for old, key in ours.pairs
              if key in given and not key.endswith(_BUFFERS)}
    if not shared:
        raise ValueError(f'{tuned.path} holds no parameter that CLIP has')
    return shared


def _check_fit(model: str, report: str, file: str, more: List[str]) -> None:
    """Refuse weights that differ in more than their values (ValueError)."""
    faults = [' '.join(line.split()) for line in report.splitlines()] + more
    if faults:
        raise ValueError(f'{model} (model) and {file} (file) cannot be merged:'
                         f' {"; ".join(faults)}. Give weights of one '
                         'architecture, with the same prompts')


def interpolate(clip: StateDict, tuned: StateDict, alpha: float) -> StateDict:
    """Return (1 - alpha) CLIP + alpha fine-tuned, in float32, for what CLIP
    has; all else is the fine-tuned model's. What is equal in both stays so,
    and at 0 and 1 values are those of the one or the other, bit by bit."""
    if alpha == 1:
        return dict(tuned)
    return {**tuned, **(clip if alpha == 0 else {
        key: torch.lerp(value, tuned[key].float(), alpha)
        for key, value in clip.items()})}
