"""What one view of a config is: how many frames, and of what size."""
from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, Optional, Tuple

from torch import nn

if TYPE_CHECKING:
    from mmengine.config import Config

# Settings that name a size; of a pipeline the last one counts.
_SIZES = ('crop_size', 'size', 'scale', 'input_size')


def view_shape(cfg: Config, model: nn.Module) -> Tuple[int, Tuple[int, int]]:
    """Frames T and pixels (H, W) of one view.

    CLIP's towers know their size, and our head under a 2D recognizer its
    frames; for others the pipelines say it: validation's before training's,
    the test's, with its many views, last.

    Raises:
        ValueError: Nothing says it.
    """
    from mmaction.models.recognizers import Recognizer3D
    is_3d = isinstance(model, Recognizer3D)
    frames = None if is_3d else getattr(model.cls_head, 'num_frames', None)
    size = _pair(getattr(getattr(model.backbone, 'visual', None),
                         'image_size', None))
    for pipeline in _pipelines(cfg):
        frames = frames or _frames(pipeline, is_3d)
        size = size or _size(pipeline)
    if frames and size:
        return frames, size
    what = 'frames a view has' if not frames else 'pixels a frame has'
    raise ValueError(f'{cfg.filename}: neither the model nor the pipelines '
                     f'(SampleFrames, CenterCrop, Resize) say how many {what}')


def _pipelines(cfg: Config) -> Iterator[List[dict]]:
    for part in 'val', 'train', 'test':
        loader = cfg.get(f'{part}_dataloader') or {}
        pipeline = (loader.get('dataset') or {}).get('pipeline')
        yield pipeline or cfg.get(f'{part}_pipeline') or []


def _frames(pipeline: List[dict], is_3d: bool) -> Optional[int]:
    for step in pipeline:
        if 'clip_len' in step:
            clips = 1 if is_3d else step.get('num_clips', 1)
            return step['clip_len'] * clips
    return None


def _size(pipeline: List[dict]) -> Optional[Tuple[int, int]]:
    """The last size that is fixed; -1 in one keeps the ratio."""
    found = None
    for step in pipeline:
        if step.get('type') == 'Resize' and step.get('keep_ratio', True):
            continue
        for name in _SIZES:
            pair = _pair(step.get(name))
            # MMAction2 writes (width, height) in `scale`.
            if pair and min(pair) > 0:
                found = pair[::-1] if name == 'scale' else pair
    return found


def _pair(value) -> Optional[Tuple[int, int]]:
    if isinstance(value, int):
        return value, value
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(
            isinstance(part, int) for part in value):
        return tuple(value)
    return None
