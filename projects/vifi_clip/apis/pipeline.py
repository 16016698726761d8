"""A config's test pipeline, for videos of any kind and any number of views.

Letters: V temporal views, C crops, T frames of a view.
"""
import copy
import re
from functools import partial
from typing import List, Optional, Sequence, Tuple, Union

from mmaction.registry import TRANSFORMS
from mmengine.config import Config

from ..datasets.video_reader import OPENERS, VideoReader
from ..errors import UnreadableVideo, UserError

Views = Union[None, int, Tuple[int, int]]
_MOST_VIEWS = 1000
_SAMPLER = 'SparseSampleViews'
_ALL_SAMPLERS = (_SAMPLER, 'SampleFrames', 'UniformSample',
                 'DenseSampleFrames')


def check_size(results: dict, size: Tuple[int, int]) -> dict:
    """Refuse pictures of another size (width, height) than the model's.

    A crop leaves a picture that is smaller as it is, and the model would
    fail with the whole batch.
    """
    height, width = results['imgs'][0].shape[:2]
    if (width, height) == size:
        return results
    height, width = results['original_shape']
    raise UnreadableVideo(
        results['filename'],
        f'its pictures have {width} x {height} pixels, too few for a model of '
        f'{size[0]} x {size[1]} whose config does not enlarge them')


def take_given(results: dict) -> dict:
    """Take one view of the frames ``results['wanted']``, and set what a
    sampling transform sets."""
    frames = results['wanted']
    return dict(results, frame_inds=frames, clip_len=len(frames), num_clips=1,
                frame_interval=None)


def parse_views(text: str) -> Views:
    """Read '1', '4', '4x3' or 'config' as ``num_views``."""
    if text == 'config':
        return None
    match = re.fullmatch('([0-9]+)(?:[xX]([0-9]+))?', text)
    try:
        views, crops = match.groups() if match else ('0', None)
        return check_views((int(views), int(crops)) if crops else int(views))
    except ValueError:
        raise ValueError(f'--num-views {text}: give temporal views up to '
                         f"{_MOST_VIEWS}, with crops as 4x3, or 'config'"
                         ) from None


def check_views(views: Views) -> Views:
    """Refuse what is no number of views by a ValueError."""
    pair = views if isinstance(views, tuple) else (views, 1)
    if views is not None and not (
            len(pair) == 2 and type(pair[0]) is int
            and 1 <= pair[0] <= _MOST_VIEWS and pair[1] in (1, 3)):
        raise ValueError('num_views must be a number of temporal views, a '
                         'pair with 1 or 3 crops, or None for the '
                         f"config's; got {views!r}")
    return views


def pipeline_cfg(cfg: Config, views: Views = 1,
                 num_frames: Optional[int] = None) -> List[dict]:
    """Return a copy of the transforms for a number of views; a UserError if
    the config has no such pipeline, or samples otherwise.

    The config has ``val_pipeline`` (one view) or a test set. ``views`` are
    ``num_views`` of :meth:`ViFiCLIPInferencer.predict`; ``num_frames`` is T in
    place of the config's.
    """
    temporal, crops = views if isinstance(views, tuple) else (views, 1)
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    own = dataset.get('pipeline') or cfg.get('test_pipeline')
    if temporal is None:
        base = own
    elif crops == 1:
        base = cfg.get('val_pipeline', own)
    else:
        base = next((steps for steps in (cfg.get('views_pipeline'), own)
                     if steps and any(step['type'] == 'ThreeCrop'
                                      for step in steps)), None)
    if not base:
        what = 'three crops' if crops == 3 else 'one view (val_pipeline)'
        raise UserError(f'{cfg.filename} has no pipeline of {what}')
    steps = copy.deepcopy(base)
    samplers = [step for step in steps if step['type'] == _SAMPLER]
    if temporal is None or (temporal == 1 and num_frames is None
                            and not samplers):
        return steps
    if not samplers:
        raise UserError(
            f'{cfg.filename} does not sample with {_SAMPLER}: use its own '
            'views (num_views=None; --num-views config)')
    for step in samplers:
        step['num_views'] = temporal
        step['num_frames'] = num_frames or step['num_frames']
    return steps


def build_steps(steps: Sequence[dict], array: bool = False,
                given: bool = False, pixels: bool = False) -> list:
    """Build transforms from the settings that :func:`pipeline_cfg` returns.

    With ``array``, frames are given and there is no reader; if they are
    ``given``, they are named by ``wanted`` and not sampled; with ``pixels``
    the last step makes ``imgs`` as the model sees them (before FormatShape).
    """
    built, size = [], _final_size(steps)
    for step in steps:
        kind = step['type']
        if kind == 'FormatShape' and size:
            built.append(partial(check_size, size=size))
        if kind == 'FormatShape' and pixels:
            break
        if array and issubclass(TRANSFORMS.get(kind), OPENERS):
            continue
        if array and 'Decode' in kind:
            step = dict(type='ArrayDecode')
        elif kind == 'DecordInit':
            step = dict(step, type=VideoReader)
        built.append(take_given if given and kind in _ALL_SAMPLERS else
                     TRANSFORMS.build(step))
    return built


def _final_size(steps: Sequence[dict]) -> Optional[Tuple[int, int]]:
    """Width and height of what leaves a pipeline; None if that depends."""
    for step in reversed(steps):
        size = step.get('crop_size')
        if step['type'] == 'Resize':
            if step.get('keep_ratio', True):
                return None
            size = step['scale']
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
    return None


def count_views(steps: Sequence[dict],
                num_frames: Optional[int]) -> Tuple[int, int]:
    """Count the views, temporal times spatial, that a pipeline takes of a
    video, and the frames of each (``num_frames``, as the head has it)."""
    views, frames = 1, num_frames or 1
    for step in steps:
        kind = step['type']
        views *= dict(ThreeCrop=3, TenCrop=10).get(kind, 1)
        if kind == _SAMPLER:
            views *= step.get('num_views', 1)
            frames = step['num_frames']
        elif kind in _ALL_SAMPLERS and step['clip_len'] > 1:
            views *= step.get('num_clips', 1)
            frames = step['clip_len']
        elif kind in _ALL_SAMPLERS:
            # 16 sparse frames are 16 clips of one frame to MMAction2
            clips = step.get('num_clips', 1)
            frames = num_frames or clips
            views *= max(clips // frames, 1)
    return views, frames
