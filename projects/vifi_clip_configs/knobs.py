"""Knobs: names that configs read from the environment, as
``'{{$SHOTS:16}}'``."""
import ast
import difflib
import glob
import importlib.util
import os
import os.path as osp
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from .shipped import base_path, root

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
# A misspelling is at least this near to a knob: SHOT is, DISTDIR (LIST_DIR)
# is not.
_NEAR = 0.82


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
    bases = _constant(text, '_base_')
    bases = [bases] if isinstance(bases, str) else bases
    return [base for base in bases if isinstance(base, str)] if isinstance(
        bases, (list, tuple)) else []


def _made_with(config: str) -> Dict[str, str]:
    """Return the knobs of the training that a saved config notes."""
    text = Path(config).read_text(encoding='utf-8', errors='replace')
    made = _constant(text, 'knobs')
    return made if isinstance(made, dict) else {}


def _constant(text: str, name: str) -> Any:
    """Find what a config sets a name to, if that is written out."""
    value: Any = None
    try:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and getattr(
                    node.targets[0], 'id', '') == name:
                value = node.value
                value = {
                    part.arg: ast.literal_eval(part.value)
                    for part in value.keywords
                } if isinstance(value, ast.Call) else ast.literal_eval(value)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass  # MMEngine's to report
    return value


def check_knobs(config: str, knobs: Mapping[str, str],
                environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a knob that is misspelled or that this config does not read, by
    a ValueError: ``SHOT=4`` would train on 16 shots without a word.

    ``knobs`` are from :func:`read_knobs`. What else is a knob, the entries
    beside ``config`` say, and ours if it has any of our knobs; other values,
    the configs check themselves. What a trained model's config notes of its
    training may still be set, as in the shell that trained it.
    """
    for name in sorted(set(knobs) & set(environ)):
        _check_value(name, environ[name])
    elsewhere = _readers((root() / 'configs').glob('*.py'))
    if not set(knobs) & set(elsewhere):
        elsewhere = {}
    elsewhere.update(_readers(Path(config).absolute().parent.glob('*.py')))
    made = _made_with(config)
    for name in sorted(set(environ) - set(knobs)):
        if made.get(name) == environ[name]:
            continue
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
    if name == 'READER' and value.startswith('torchcodec') and (
            importlib.util.find_spec('torchcodec') is None):
        raise ValueError(f'READER={value}: torchcodec is not installed: pip '
                         'install "vifi_clip[torchcodec]" (in a checkout: -c '
                         'constraints.txt -e ".[torchcodec]")')


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
