"""Which model an index was made with: ``index.json`` in its folder, which may
come from anybody."""
import os
import os.path as osp
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, Optional

from projects.vifi_clip.apis.config import with_options
from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.files import read_json, write_json
from projects.vifi_clip_configs.shipped import shipped_config
from ..cli.options import InferenceOptions, ModelOptions

_KIND, _FORMAT = 'vifi_clip search index', 1
# What an index's record holds; the rest of it is only compared.
_KINDS = dict(config=str, checkpoint=(str, type(None)), fingerprint=str,
              embed_dim=int, num_frames=int, num_views=str, cfg_options=dict,
              inference=dict, settings=dict)


def write_identity(path: str, identity: Identity) -> None:
    """Describe the model in the folder of an index."""
    write_json(osp.join(path, 'index.json'), dict(
        kind=_KIND, format=_FORMAT, identity=asdict(identity)))


def read_identity(path: str) -> Identity:
    """Read the model that an index was made with; FileNotFoundError if there
    is no index, ValueError for another folder."""
    if not osp.lexists(path) or osp.isdir(path) and not os.listdir(path):
        raise FileNotFoundError(
            f'There is no search index at {path}; make one with: '
            f'vifi-clip index FOLDER --index {path}')
    try:
        record = read_json(Path(path, 'index.json'))
        if (record['kind'], record['format']) != (_KIND, _FORMAT):
            raise ValueError(f'its index.json is of {record["kind"]!r}, '
                             f'format {record["format"]}')
        identity = Identity(**record['identity'])
        for name, kinds in _KINDS.items():
            value = getattr(identity, name)
            if not isinstance(value, kinds):
                raise ValueError(f'{name} is {value!r:.100}')
        if extra := set(identity.inference) - set(vars(InferenceOptions())):
            raise ValueError(f'inference has {min(extra)!r:.100}')
        return identity
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is not a search index of this version ({error}), and is '
            'left unchanged; index the videos under another name') from error


def completed(options: ModelOptions, made: Identity,
              path: str) -> ModelOptions:
    """Fill in what a command line does not say of the model that an index was
    made with. ValueError for what may run code or fetch anything: an index
    is data, and only a command line may name that; FileNotFoundError if the
    weights are gone."""
    if not inference_of(options):
        options = replace(options, faster=InferenceOptions(
            **{**made.inference, **options.inference}))
    if options.config:
        return options  # a moved copy, or another model: check() compares
    config = shipped_config(made.config)
    settings = options.cfg_options or made.cfg_options
    if config is None or not (options.cfg_options or _are_plain(settings)):
        raise ValueError(
            f'the index {path} was made with --config '
            f'{made.config}{with_options(settings)}, and these may run code: '
            'if you trust them, give them on the command line')
    return replace(options, config=config, cfg_options=settings,
                   checkpoint=options.checkpoint or _checkpoint(made, path))


def _checkpoint(made: Identity, path: str) -> Optional[str]:
    """Return the weights that an index was made with, a local file."""
    weights = made.checkpoint
    if weights in (None, 'none') or osp.exists(weights):
        return weights
    if '://' in weights:
        raise ValueError(
            f'the index {path} was made with weights from {weights}: if you '
            'trust them, give them with --checkpoint')
    raise FileNotFoundError(
        f'the model of the index {path} was moved ({weights}); give its path '
        'with --checkpoint')


def _are_plain(settings: Dict[str, Any]) -> bool:
    """Tell whether settings are numbers and texts of a model and pipelines
    that are the config's own: none says what to build or import."""

    def plain(value: Any) -> bool:
        return (all(map(plain, value)) if isinstance(value, list) else
                not isinstance(value, dict) and '://' not in str(value))

    return all(re.fullmatch(r'(model|\w+_pipeline)(\.(?!type\b|_)\w+)+', key)
               and plain(value) for key, value in settings.items())


def inference_of(options: ModelOptions) -> Dict[str, Any]:
    """Return the settings of inference that change embeddings."""
    return {name: value for name, value in options.inference.items()
            if name != 'compile'}


def identity_of(inferencer: ViFiCLIPInferencer, options: ModelOptions,
                num_views: str) -> Identity:
    """Describe a model that a command line names."""
    return Identity.of(inferencer, num_views, options.config,
                       options.cfg_options, inference_of(options))
