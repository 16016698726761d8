"""Configs: read by name or path, their knobs and files checked."""
import copy
import os
import os.path as osp
import re
import sys
import sysconfig
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional

from mmengine.config import Config

from projects.vifi_clip_configs.knobs import (check_knobs, experiment,
                                              knob_values, read_knobs)
from projects.vifi_clip_configs.shipped import MODEL_CONFIG

from ..checkpoints.files import register_loader
from ..datasets.loader_settings import resolve_workers
from ..errors import UserError
from ..resources import find_config, is_fetched
from .shared_config import check_shared

_PARTS = 'train', 'val', 'test'
# MMEngine's message, which goes on to its documentation.
_UNREGISTERED = re.compile(r'(\S+ is not in the \S+ registry)\. .*')
# Kinds of settings, where they are given.
_KINDS = (
    ('a dict', dict, [
        'optim_wrapper', 'default_hooks', 'env_cfg', 'randomness',
        'model.backbone', 'model.cls_head', 'model.data_preprocessor',
        'model.cls_head.text_classifier',
        *(f'{part}_{name}' for part in _PARTS
          for name in ('cfg', 'dataloader', 'dataloader.dataset'))]),
    ('a list of dicts with a type', list, [
        'custom_hooks', 'views_pipeline',
        *(f'{part}_{name}' for part in _PARTS
          for name in ('pipeline', 'dataloader.dataset.pipeline'))]),
    ('a text', str, ['load_from', 'work_dir', 'default_scope', 'log_level']),
    ('a whole number up to 1024', int,
     [f'{part}_dataloader.num_workers' for part in _PARTS]))


def load_config(config: str, cfg_options: Optional[dict] = None,
                work_dir: Optional[str] = None, launcher: str = 'none',
                trust: bool = False) -> Config:
    """Read a config for a run, as :func:`read_config` does, with settings to
    override, MMEngine's launcher and data workers set.

    ``work_dir`` is by default ``work_dirs/<name>``, with the knobs that are
    turned.
    """
    cfg = read_config(config, trust)
    cfg.launcher = launcher
    workers = resolve_workers(cfg)
    rank = os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))
    if workers and rank == '0':
        print(workers, flush=True)
    override(cfg, cfg_options)
    if work_dir:
        cfg.work_dir = work_dir
    elif not cfg.get('work_dir'):
        path = Path(cfg.filename)
        names = ((path.parent if path.name == MODEL_CONFIG else path).stem,
                 experiment(read_knobs(cfg.filename)))
        cfg.work_dir = osp.join('work_dirs', '-'.join(filter(None, names)))
    return cfg


def read_config(config: str, trust: bool = False) -> Config:
    """Read a config: a path, or the name of an entry such as 'vifi_k400'.

    Its knobs are checked, and noted in ``cfg.knobs``. ``trust`` lets
    checkpoint files run code while they load, in this process from now on,
    and the config of a model from the Hub, which else must be data.

    Raises:
        FileNotFoundError: No such config.
        ValueError: A bad knob, or a config that describes no model.
        UserError: The config's own code fails, or is of the Hub and not
            trusted.
    """
    config = find_config(config)
    strange = is_fetched(config) and not trust
    if strange:
        check_shared(config)
    register_loader(trust=trust)
    knobs = read_knobs(config)
    check_knobs(config, knobs)
    # custom_imports finds modules beside the config, and where one stands.
    if not strange:
        sys.path += {osp.dirname(osp.abspath(config)),
                     os.getcwd()}.difference(sys.path)
    with blamed_on(config):
        cfg = Config.fromfile(config)
    # Where a run notes its config, five times, yapf would take 0.25 s each.
    # MMEngine's fromfile does not hand this argument of Config on.
    object.__setattr__(cfg, '_format_python_code', False)
    check_model(cfg)
    if knobs:  # for the record in the work directory
        cfg.knobs = {**cfg.get('knobs', {}), **knob_values(knobs)}
    return cfg


def override(cfg: Config, options: Optional[Mapping]) -> None:
    """Set settings of a config, by nested keys with dots; a UserError if they
    do not go into it, a ValueError if another kind is wanted there."""
    if options:
        with blamed_on(cfg.filename, options):
            cfg.merge_from_dict(options)
    check_model(cfg)


@contextmanager
def blamed_on(config: Optional[str], options: Optional[Mapping] = None,
              over: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turn what goes wrong into a UserError that names the config and the
    ``options`` that were set in it, until ``over()``: a config is code, and
    what is built of it fails in any way. What says itself what is to be
    mended stays as it is."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if over() or _is_said(error):
            raise
        # MMEngine's ImportErrors begin with all imports and end with sys.path.
        while isinstance(error, ImportError) and error.__context__:
            error = error.__context__
        # str(KeyError) would put it in quotes
        text = error.args[0] if isinstance(error, KeyError) else error
        lines = str(text).strip().splitlines() or ['']
        # a data worker's has its traceback before
        line = lines[-1 if lines[0].startswith('Caught ') else 0]
        line = _UNREGISTERED.sub(
            r'\1. Correct the type, or name the file that has it in the '
            "config: custom_imports = dict(imports=['my_file'])", line)
        given = with_options(options)
        raise UserError(
            f'{config or "the config"} cannot be used{" with" * bool(given)}'
            f'{given}: {type(error).__name__}: {line}{_place(error)}'
        ) from error


def _place(error: BaseException) -> str:
    """Say where in a user's own module an error came from; empty for one
    from elsewhere."""
    package = osp.dirname(osp.dirname(osp.abspath(__file__)))
    places = [
        f' ({frame.f_code.co_filename}, line {line})'
        for frame, line in traceback.walk_tb(error.__traceback__)
        if osp.isfile(frame.f_code.co_filename)
        and not frame.f_code.co_filename.startswith((
            package, *sysconfig.get_paths().values()))]
    return places[-1] if places else ''


def with_options(options: Optional[Mapping]) -> str:
    """Write settings as a command line has them; empty without any."""
    words = ' '.join(f'{key}={value}' for key, value in (
        options or {}).items()).split()
    return ' '.join(['', '--cfg-options', *words]) if words else ''


def _is_said(error: BaseException) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name = frame.f_globals.get('__name__')  # None: the code of a config
    ours = (name or 'projects.').startswith('projects.')
    return (isinstance(error, UserError)
            or isinstance(error, (ValueError, OSError)) and ours
            or isinstance(error, OSError) and error.errno is not None
            # SIGTERM's, where a command turns it into one
            or isinstance(error, SystemExit) and name is not None and ours)


def check_model(cfg: Config) -> None:
    """Refuse a config that describes no model, or has a setting of another
    kind than it is (ValueError)."""
    model = cfg.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise ValueError(f'{cfg.filename}: model must be a dict with a type, '
                         f'got {model!r}')
    for words, kind, names in _KINDS:
        for name in names:
            value: Any = cfg
            for part in name.split('.'):
                value = value.get(part) if value is not None else None
            if value is not None and not _is_kind(value, kind):
                raise ValueError(f'{cfg.filename}: {name} must be {words}, '
                                 f'got {value!r}')


def _is_kind(value: Any, kind: type) -> bool:
    if kind is int:  # each of them is a process
        return type(value) is int and value <= 1024
    if kind is list:
        return isinstance(value, (list, tuple)) and all(
            item.get('type') if isinstance(item, dict) else callable(item)
            for item in value)
    return isinstance(value, kind)


def leave_out_pretrained(cfg: Config) -> None:
    """Do not load, or download, weights that a checkpoint replaces."""
    model = cfg.model
    # models that refuse a checkpoint which lacks a parameter
    if model.get('type') in ('ViFiCLIP', 'ViFiCLIPRetriever') and not (
            model.get('save_trainable_only')):
        cfg.model = without_pretrained(model)


def without_pretrained(model: Mapping) -> Mapping:
    """Return a copy of a model's config that loads no weights."""
    model = copy.deepcopy(model)
    head = model.get('cls_head') or {}
    for part in model.get('backbone'), head.get('text_classifier'):
        if part and part.get('pretrained'):
            part['pretrained'] = None
    return model
