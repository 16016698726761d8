"""Configs: read by name or path, their knobs and files checked.

A knob is a name that configs read from the environment, as
``'{{$SHOTS:16}}'``.
"""
import ast
import copy
import difflib
import glob
import os
import os.path as osp
import re
import sys
import sysconfig
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Mapping,
                    Optional, Sequence)

from mmengine.config import Config

from ..checkpoints.files import register_loader
from ..datasets.loader_settings import resolve_workers
from ..errors import UserError
from ..resources import (MODEL_CONFIG, base_path, find_config, is_fetched,
                         root)
from .shared_config import check_shared

# MMEngine's own pattern for '{{$NAME:default}}'.
_KNOB = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*\:\s*(\S*?)\s*[\'"]?\}\}')
# Where things are, and how they are read: nothing about the experiment
# (TRAIN_LIST and VAL_LIST are: train_tiny.txt is another experiment).
_PLACES = re.compile(r'.*_(ROOT|DIR|FILE|CLIP)$|WORKERS$')
# The same data, wherever they are.
_SAME_DATA = ('DATA_ROOT', 'VIDEO_DIR', 'FRAMES_DIR', 'MINI_CLIP', 'WORKERS')
_WHOLE = '0|[1-9][0-9]*'
# Values of some knobs: a pattern, and in words.
_VALUES = {
    **dict.fromkeys(('NUM_FRAMES', 'SEED', 'SHOTS', 'EPOCH_MEAN'),
                    (_WHOLE, 'a whole number')),
    'WORKERS': (f'auto|{_WHOLE}', 'a whole number or auto'),
    'INTERPOLATE': (r'[01]|0?\.[0-9]+', 'a number from 0 to 1'),
}
_PARTS = 'train', 'val', 'test'
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
# A misspelling is at least this near to a knob: SHOT is, DISTDIR (LIST_DIR)
# is not.
_NEAR = 0.82


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
        cfg.knobs = knob_values(knobs)
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


def read_knobs(config: str, below: Sequence[str] = ()) -> Dict[str, str]:
    """Find the knobs that a config and its bases read: default by name.

    A config's own default goes before that of its bases, whose paths may hold
    knobs; a ValueError if there is no file for the value of one. ``below`` are
    the configs that it is a base of; a ValueError if it is its own.
    """
    here = osp.realpath(config)
    if here in below:
        raise ValueError(f'{config} is a _base_ of itself')
    # What is not UTF-8, MMEngine reports; a file beside it may be anything.
    with open(config, encoding='utf-8', errors='replace') as file:
        text = file.read()
    knobs = dict(_KNOB.findall(text))
    for base in _bases(text):
        path = Path(base_path(_KNOB.sub(
            lambda m: os.environ.get(m[1], m[2]), base), osp.dirname(config)))
        knob = _KNOB.fullmatch(Path(base).stem)
        if path.is_file():
            knobs = {**read_knobs(str(path), [*below, here]), **knobs}
        elif knob:  # if not, MMEngine says so
            files = sorted(p.stem for p in path.parent.glob(f'*{path.suffix}'))
            value = os.environ.get(knob[1], knob[2])
            raise ValueError(f'{knob[1]}={value}: choose one of {files}')
    return knobs


def _bases(text: str) -> List[str]:
    bases: Any = []
    try:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and getattr(
                    node.targets[0], 'id', '') == '_base_':
                bases = ast.literal_eval(node.value)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass  # MMEngine's to report
    bases = [bases] if isinstance(bases, str) else bases
    return [base for base in bases if isinstance(base, str)] if isinstance(
        bases, (list, tuple)) else []


def check_knobs(config: str, knobs: Mapping[str, str],
                environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a knob that is misspelled or that this config does not read, by
    a ValueError: ``SHOT=4`` would train on 16 shots without a word.

    ``knobs`` are from :func:`read_knobs`. What else is a knob, the entries
    beside ``config`` say, and ours if it has any of our knobs; other values,
    the configs check themselves.
    """
    for name in sorted(set(knobs) & set(environ)):
        _check_value(name, environ[name])
    elsewhere = _readers((root() / 'configs').glob('*.py'))
    if not set(knobs) & set(elsewhere):
        elsewhere = {}
    elsewhere.update(_readers(Path(config).absolute().parent.glob('*.py')))
    for name in sorted(set(environ) - set(knobs)):
        problem = f'{name}={environ[name]} is not a knob of {config}'
        if name in elsewhere:
            if not is_place(name):
                raise ValueError(f'{problem}, which has '
                                 f'{", ".join(sorted(knobs)) or "none"} '
                                 f'({elsewhere[name]} reads it): unset it')
            continue
        upper = name.upper()  # seed=3
        swapped = [upper[:i] + upper[i + 1] + upper[i] + upper[i + 2:]
                   for i in range(len(name) - 1)]  # TNUE
        near = [*(knob for knob in swapped if knob in knobs),
                *difflib.get_close_matches(upper, knobs, 1, _NEAR)]
        if near:
            raise ValueError(f'{problem}; did you mean {near[0]}? (If it is '
                             f'for something else: env -u {name} ...)')


def _readers(configs: Iterable[Path]) -> Dict[str, str]:
    """Find the files that read knobs, by knob, among configs and all bases
    that they can have: where a knob is part of a base's path, each file that
    it may name."""
    names: Dict[str, str] = {}
    files, seen = list(configs), set()
    for path in files:  # which grows
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        text = path.read_text(encoding='utf-8', errors='replace')
        names.update((name, path.name) for name, _ in _KNOB.findall(text))
        files += (Path(osp.normpath(found)) for base in _bases(text)
                  for found in glob.glob(base_path(
                      _KNOB.sub('*', base), glob.escape(str(path.parent)))))
    return names


def _check_value(name: str, value: str) -> None:
    """Refuse what MMEngine's substitution would turn into something else."""
    if not value:
        raise ValueError(f'{name} is empty: give it a value or unset it')
    if re.search(r'[\'"\\\n\r]', value):
        raise ValueError(f'{name}={value}: a knob holds no quotes, '
                         'backslashes or line breaks; a link may name the '
                         'file or folder')
    pattern, words = _VALUES.get(name, ('.*', ''))
    if not re.fullmatch(pattern, value):
        raise ValueError(f'{name}={value}: give {words}')


def is_place(name: str) -> bool:
    """Tell whether a knob only says where something is."""
    return _PLACES.match(name) is not None


def knob_values(knobs: Mapping[str, str]) -> Dict[str, str]:
    """Return what each knob is set to; its default where it is not."""
    return {name: os.environ.get(name, default)
            for name, default in sorted(knobs.items())}


def experiment(knobs: Mapping[str, str]) -> str:
    """Name what tells this experiment from others of its config, but where
    videos lie: ``DATASET_ucf101-SHOTS_4``; empty if no knob is turned."""
    parts = []
    for name, value in knob_values(knobs).items():
        if value != knobs[name] and name not in _SAME_DATA:
            # of a path its last two parts: .../seed1/epoch_10.pth
            words = osp.splitext(value)[0].strip(osp.sep).split(osp.sep)[-2:]
            short = re.sub('[^A-Za-z0-9.]+', '_', '_'.join(words))
            parts.append(f'{name}_{short}')
    return '-'.join(parts)
