"""What ``vifi-clip complexity`` compares: configs, each with knobs of its own.

A spec is ``CONFIG[:NAME=VALUE[,NAME=VALUE...]]``: an entry's name or a path,
then knobs as the environment would set them, and settings with a dot in
their name as ``--cfg-options`` would.
"""
from __future__ import annotations

import argparse
import ast
import os
import os.path as osp
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List
from unittest.mock import patch

from projects.vifi_clip_configs.knobs import is_place, read_knobs
from projects.vifi_clip_configs.shipped import HUB

if TYPE_CHECKING:
    from mmengine.config import Config

# What weights come from; nothing here loads any.
_WEIGHTS = ('PRETRAINED', 'VIDEOMAE')


@dataclass(frozen=True)
class Spec:
    """A config and what is turned in it: knobs, and nested settings."""
    text: str  # as the user wrote it
    config: str  # name of an entry, or a path
    knobs: Dict[str, str] = field(default_factory=dict)
    settings: Dict[str, object] = field(default_factory=dict)
    trust: bool = False  # the config of a model from the Hub may be code

    @property
    def title(self) -> List[str]:
        """The config's name, then each change."""
        name = osp.splitext(osp.basename(self.config))[0]
        return [name, *(f'{k}={v}' for k, v in
                        {**self.knobs, **self.settings}.items())]


def parse_spec(text: str) -> Spec:
    """Read one argument, as an argparse type; values hold no comma."""
    if osp.isfile(text):  # a path may hold a colon
        return Spec(text, text)
    hub = HUB if text.startswith(HUB) else ''
    config, colon, changes = text.removeprefix(hub).partition(':')
    config = hub + config
    knobs, settings = {}, {}
    for part in changes.split(',') if colon else ():
        name, equals, value = part.partition('=')
        if config == hub or not name or not equals:
            raise argparse.ArgumentTypeError(
                f'{text!r}: write CONFIG:NAME=VALUE,NAME=VALUE, such as '
                'vifi_k400:TUNE=image,NUM_FRAMES=8')
        if '.' not in name:
            knobs[name] = value
            continue
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return Spec(text, config, knobs, settings)


def load_spec(spec: Spec) -> Config:
    """Load the config, with its changes made and no weights to load;
    ValueError for an unknown knob or setting, a bad value, or a config
    without a recognizer."""
    from projects.vifi_clip.apis.config import (override, read_config,
                                                without_pretrained)
    from projects.vifi_clip.resources import find_config
    with patch.dict(os.environ, spec.knobs):  # one may choose a base
        knobs = read_knobs(find_config(spec.config))
    for name in spec.knobs:
        if name not in knobs:
            raise ValueError(f'{spec.text}: {spec.config} has no knob {name} '
                             f'(it has {", ".join(sorted(knobs)) or "none"})')
    given = {name: 'none' for name in _WEIGHTS
             if name in knobs and name not in os.environ}
    with patch.dict(os.environ, {**given, **spec.knobs}):
        cfg = read_config(spec.config, spec.trust)
    if not isinstance(cfg.get('model'), dict) or not (
            cfg.model.get('backbone')):
        raise ValueError(f'{spec.text}: the config has no model with a '
                         'backbone, so there is nothing to count')
    for name in spec.settings:
        # A misspelled part would make a new key and change nothing.
        node = cfg
        for parent in name.split('.')[:-1]:
            node = node.get(parent) if hasattr(node, 'get') else None
        if node is None:
            raise ValueError(f'{spec.text}: the config has no {name}')
    override(cfg, spec.settings)
    cfg.model = without_pretrained(cfg.model)
    return cfg


def title_of(spec: Spec, cfg: Config) -> List[str]:
    """Return a spec's title with the knobs that the environment turned for
    its config, as :func:`load_spec` returned it."""
    turned = [f'{name}={value}' for name, value in cfg.get('knobs', {}).items()
              if os.environ.get(name) == value and name not in spec.knobs
              and name not in _WEIGHTS and not is_place(name)]
    config, *changes = spec.title
    return [config, *turned, *changes]
