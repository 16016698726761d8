"""Which model made a file, and whether another one would make it otherwise.

Two formats are on disk, and stay as they are. An index holds the fields of
:class:`Identity`. Files of embeddings and of predictions hold the flat
:func:`record`, whose fingerprint is over parameters and the backbone's
buffers, since a model changed for inference has no state dict. Frame caches
are of an image tower alone and are compared below this package, see
``datasets.frame_cache``.
"""
from __future__ import annotations

import json
import os.path as osp
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional

from torch import Tensor, nn

from ..checkpoints.files import split_name
from ..checkpoints.settings import (collect_settings, fingerprint,
                                    lasting_parameters)
from ..datasets.frame_cache import pipeline_identity
from ..engine.precision import InferenceBackbone
from ..version import __version__
from .pipeline import Views, pipeline_cfg

if TYPE_CHECKING:
    from .inferencer import ViFiCLIPInferencer

# What changes the sentences or the training, and not where a model puts a
# given video or sentence.
_NOT_THE_MODEL = ('version', 'templates', 'descriptions', 'arch', 'tune',
                  'num_frames')
# Of the settings, those that a record of videos has.
_OF_VIDEOS = ('pixel_mean', 'pixel_std', 'to_rgb', 'visual_prompts',
              'visual_activation', 'visual_heads', 'neighbours', 'context',
              'num_frames', 'fusion')
# In a record, but for people: they do not change a result.
NOTES = ('version', 'config', 'checkpoint')
_LONG = ('labels', 'pipeline', 'list')  # not shown where they differ


@dataclass(frozen=True)
class Identity:
    """A model, as far as its embeddings go."""

    config: str  # name of an entry, or path
    checkpoint: Optional[str]  # absolute path; None: the config's weights
    fingerprint: str  # SHA-256 over the model's float32 weights
    embed_dim: int  # D
    num_frames: int  # T frames of a view
    # V views, whose embeddings are averaged: '1', '4x3', 'config'
    num_views: str = '1'
    # settings of the config that were overridden
    cfg_options: Dict[str, Any] = field(default_factory=dict)
    # of apply_inference, what is not the default
    inference: Dict[str, Any] = field(default_factory=dict)
    # what leaves no trace in the weights: pixel statistics, activation, ...
    settings: Dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, inferencer: ViFiCLIPInferencer, num_views: str = '1',
           config: Optional[str] = None, cfg_options: Optional[Mapping] = None,
           inference: Optional[Mapping] = None) -> Identity:
        """Describe a loaded model; reads every weight once, about a second
        for ViT-B. Without ``config``, it is the config's file."""
        model, cfg = inferencer.model, inferencer.cfg
        settings = collect_settings(model, cfg.get('model'))
        return cls(
            config=_absolute(config or cfg.filename),
            checkpoint=_absolute(inferencer.checkpoint),
            fingerprint=fingerprint(
                (name, value) for name, value in _weights(model).items()
                if value.is_floating_point()),
            embed_dim=int(inferencer.embed_dim),
            num_frames=int(inferencer.num_frames), num_views=num_views,
            cfg_options=dict(cfg_options or {}),
            inference=dict(inference or {}),
            settings=_plain({name: value for name, value in settings.items()
                             if name not in _NOT_THE_MODEL}))

    def __str__(self) -> str:
        weights = self.checkpoint or "the config's weights"
        return (f'{self.config}, {weights} ({self.fingerprint[:8]}), '
                f'{self.num_frames} frames, {self.num_views} view(s)')

    def differences(self, other: Identity) -> List[str]:
        """Say in words where another model would embed otherwise.

        Names of files do not matter: a model that moved is the same model.
        """
        mine, theirs = (
            dict(inference=identity.inference, weights=identity.fingerprint,
                 embed_dim=identity.embed_dim, num_frames=identity.num_frames,
                 num_views=identity.num_views, **identity.settings)
            for identity in (self, other))
        return differences(mine, theirs)


def record(inferencer: ViFiCLIPInferencer, num_views: Views = 1,
           **more: Any) -> Dict[str, Any]:
    """Describe a model, and how it reads videos, for a file of results.

    ``num_views`` is that of ``ViFiCLIPInferencer.embed``; ``more`` are
    further values, such as the config's name and the labels.
    """
    model, cfg = inferencer.model, inferencer.cfg
    settings = collect_settings(model, cfg.get('model'))
    weights = [*lasting_parameters(model),
               *model.backbone.named_buffers('backbone')]
    return _plain(dict(
        version=__version__,
        **more,
        weights=fingerprint(weights),
        **{k: settings[k] for k in _OF_VIDEOS if k in settings},
        num_views=num_views,
        pipeline=pipeline_identity(pipeline_cfg(cfg, num_views))))


def differences(made: Mapping, wanted: Mapping,
                notes: tuple = ()) -> List[str]:
    """Say in words where the record of what is there and that of what is
    asked for differ; ``notes`` are not compared."""
    texts = []
    for name in dict.fromkeys([*wanted, *made]):
        old, new = made.get(name), wanted.get(name)
        if name in notes or old == new:
            continue
        if name == 'weights':
            old, new = str(old)[:12], str(new)[:12]
        texts.append(f'other {name}' if name in _LONG else
                     f'{name}: {old!r} there and {new!r} here')
    return texts


def _weights(model: nn.Module) -> Dict[str, Tensor]:
    """Return the state dict, which a model changed for inference refuses."""
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, InferenceBackbone):
        return model.state_dict()
    weights = backbone.backbone.state_dict(prefix='backbone.')
    for name, child in model.named_children():
        if child is not backbone:
            weights.update(child.state_dict(prefix=f'{name}.'))
    return weights


def _plain(values: Mapping) -> Dict[str, Any]:
    """Values as they come back from a JSON file."""
    return json.loads(json.dumps(values))


def _absolute(name: Optional[str]) -> Optional[str]:
    """A file by its full path; names of configs and addresses as they are."""
    return (osp.abspath(name) if name and osp.isfile(split_name(name)[0])
            else name)
