"""Which model made the embeddings of an index."""
from __future__ import annotations

import json
import os.path as osp
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Optional

# What changes the sentences or the training, and not where a model puts a
# given video or sentence.
_NOT_THE_MODEL = ('version', 'templates', 'descriptions', 'arch', 'tune',
                  'num_frames')


@dataclass(frozen=True)
class Identity:
    """A model, as far as its embeddings go.

    Args:
        config (str): Name of an entry config or path of a config file.
        checkpoint (str, optional): Absolute path of the weights; None where
            the config says where they come from.
        cfg_options (dict): Settings that were overridden.
        fingerprint (str): SHA-256 over the model's float32 weights.
        embed_dim (int): D.
        num_frames (int): T frames per view.
        num_views (str): V views, whose embeddings are averaged, as
            ``--num-views`` takes them: '1', '4x3', 'config'.
        inference (dict): Of :func:`apply_inference`, what is not as usual:
            ``precision``, ``token_merging``, ``text_bf16``.
        settings (dict): What leaves no trace in the weights: pixel
            statistics, activation, fusion and so on.
    """

    config: str
    checkpoint: Optional[str]
    fingerprint: str
    embed_dim: int
    num_frames: int
    num_views: str = '1'
    cfg_options: Dict[str, Any] = field(default_factory=dict)
    inference: Dict[str, Any] = field(default_factory=dict)
    settings: Dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> Identity:
        """The inverse of :meth:`to_dict`."""
        return cls(**values)

    def __str__(self) -> str:
        weights = self.checkpoint or "the config's weights"
        return (f'{self.config}, {weights} ({self.fingerprint[:8]}), '
                f'{self.num_frames} frames, {self.num_views} view(s)')

    def differences(self, other: Identity) -> List[str]:
        """Where another model would embed otherwise, each in words.

        Names of files do not matter: a model that moved is the same model.
        """
        found = []
        for name in ('inference', 'fingerprint', 'embed_dim', 'num_frames',
                     'num_views'):
            mine, theirs = getattr(self, name), getattr(other, name)
            if name == 'fingerprint':
                mine, theirs = mine[:12], theirs[:12]
                name = 'weights'
            if mine != theirs:
                found.append(f'{name}: {mine} and {theirs}')
        for name in sorted(set(self.settings) | set(other.settings)):
            mine = self.settings.get(name)
            theirs = other.settings.get(name)
            if mine != theirs:
                found.append(f'{name}: {mine!r} and {theirs!r}')
        return found


def identity_of(inferencer: Any,
                config: Optional[str] = None,
                cfg_options: Optional[Mapping] = None,
                num_views: str = '1',
                inference: Optional[Mapping] = None) -> Identity:
    """Describe a loaded model.

    Args:
        inferencer (ViFiCLIPInferencer): The model.
        config (str, optional): What to load it from. Defaults to None: the
            config's file.
        cfg_options (Mapping, optional): Settings that were overridden.
        num_views (str): V, for videos. Defaults to '1'.
        inference (Mapping, optional): What :func:`apply_inference` changed.

    Returns:
        Identity: Reads every weight once, about a second for ViT-B.
    """
    from ..checkpoints.settings import collect_settings, fingerprint
    model, cfg = inferencer.model, inferencer.cfg
    weights = [(name, value) for name, value in model.state_dict().items()
               if value.is_floating_point()]
    settings = {
        name: value
        for name, value in collect_settings(model, cfg.get('model')).items()
        if name not in _NOT_THE_MODEL
    }
    return Identity(
        config=_absolute(config or cfg.filename),
        checkpoint=_absolute(inferencer.checkpoint),
        fingerprint=fingerprint(weights),
        embed_dim=int(inferencer.embed_dim),
        num_frames=int(inferencer.num_frames),
        num_views=num_views,
        cfg_options=dict(cfg_options or {}),
        inference=dict(inference or {}),
        settings=json.loads(json.dumps(settings)))  # as the file gives it


def _absolute(name: Optional[str]) -> Optional[str]:
    """A file by its full path; names of configs and addresses as they are."""
    return osp.abspath(name) if name and osp.isfile(name) else name
