"""A config's test pipeline, for videos of any kind and any number of views.

Letters: V temporal views, C crops, T frames of a view.
"""
import copy
from typing import List, Optional, Sequence, Tuple, Union

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from ..errors import UserError

Views = Union[None, int, Tuple[int, int]]
_SAMPLER = 'SparseSampleViews'
_ALL_SAMPLERS = (_SAMPLER, 'SampleFrames', 'UniformSample',
                 'DenseSampleFrames')


class GivenFrames(BaseTransform):
    """Take the frames that ``results['wanted']`` names, in place of sampling.
    """

    def transform(self, results: dict) -> dict:
        """Set what a sampling transform sets, for one view."""
        wanted = results['wanted']
        results.update(frame_inds=wanted, clip_len=len(wanted), num_clips=1,
                       frame_interval=None)
        return results


def parse_views(text: str) -> Views:
    """'1', '4', '4x3' or 'config' as ``num_views``.

    Raises:
        ValueError: Anything else.
    """
    if text == 'config':
        return None
    parts = text.lower().split('x')
    if len(parts) <= 2 and all(part.isdecimal() for part in parts):
        views = tuple(int(part) for part in parts)
        return check_views(views if len(views) == 2 else views[0])
    raise ValueError(f'--num-views {text}: give a number of temporal views '
                     "(4), with crops (4x3), or 'config'")


def check_views(views: Views) -> Views:
    """Refuse what is no number of views.

    Raises:
        ValueError: Naming the value and what is allowed.
    """
    if views is None:
        return views
    temporal, crops = views if isinstance(views, tuple) else (views, 1)
    if (not isinstance(temporal, int) or isinstance(temporal, bool)
            or temporal < 1 or crops not in (1, 3)):
        raise ValueError('num_views must be a number of temporal views, a '
                         'pair (temporal, crops) with 1 or 3 crops, or None '
                         f"for the config's own; got {views!r}")
    return views


def pipeline_cfg(cfg: Config, views: Views = 1,
                 num_frames: Optional[int] = None) -> List[dict]:
    """Transforms for a number of views.

    Args:
        cfg (Config): With ``val_pipeline`` (one view) or a test set.
        views: See :class:`ViFiCLIPInferencer`.
        num_frames (int, optional): T in place of the config's.

    Returns:
        list[dict]: A copy, with the sampling changed.

    Raises:
        UserError: The config has no such pipeline, or samples otherwise.
    """
    temporal, crops = views if isinstance(views, tuple) else (views, 1)
    steps = copy.deepcopy(_base(cfg, temporal, crops))
    if temporal is None or (temporal == 1 and num_frames is None
                            and not _samplers(steps)):
        return steps
    if not _samplers(steps):
        raise UserError(
            f'{cfg.filename} does not sample with {_SAMPLER}, so that its '
            'views cannot be chosen; use its own (num_views=None; '
            '--num-views config)')
    for step in _samplers(steps):
        step['num_views'] = temporal
        if num_frames:
            step['num_frames'] = num_frames
    return steps


def _base(cfg: Config, temporal: Optional[int], crops: int) -> Sequence[dict]:
    """The config's pipeline that comes nearest."""
    loader = cfg.get('test_dataloader') or {}
    own = (loader.get('dataset') or {}).get('pipeline')
    own = own or cfg.get('test_pipeline')
    if temporal is None or (crops == 1 and 'val_pipeline' not in cfg):
        found = own
    elif crops == 1:
        found = cfg.val_pipeline
    else:
        found = next((steps for steps in (cfg.get('views_pipeline'), own)
                      if steps and any(step['type'] == 'ThreeCrop'
                                       for step in steps)), None)
    if not found:
        what = 'three crops' if crops == 3 else 'one view (val_pipeline)'
        raise UserError(f'{cfg.filename} has no pipeline of {what}')
    return found


def _samplers(steps: Sequence[dict]) -> List[dict]:
    return [step for step in steps if step['type'] == _SAMPLER]


def build_steps(steps: Sequence[dict],
                array: bool = False,
                given: bool = False,
                pixels: bool = False) -> list:
    """Transforms from their settings.

    Args:
        steps (Sequence[dict]): From :func:`pipeline_cfg`.
        array (bool): Frames are given, not read from a file: no reader.
        given (bool): Frames are named by ``wanted`` (GivenFrames).
        pixels (bool): Up to the frames as the model sees them, ``imgs``, and
            not further (FormatShape).
    """
    built = []
    for step in steps:
        kind = step['type']
        if array and kind.endswith('Init'):
            continue
        if array and 'Decode' in kind:
            step = dict(type='ArrayDecode')
        if given and kind in _ALL_SAMPLERS:
            built.append(GivenFrames())
            continue
        if pixels and kind == 'FormatShape':
            break
        built.append(TRANSFORMS.build(step))
    return built
