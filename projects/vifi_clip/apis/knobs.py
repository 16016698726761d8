"""Environment knobs of configs: which there are, and misspelled ones."""
import ast
import difflib
import os
import os.path as osp
import re
from typing import Dict, List, Mapping, Optional

# MMEngine's own pattern for '{{$NAME:default}}'.
_KNOB = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*\:\s*(\S*?)\s*[\'"]?\}\}')
# Where things are, and how they are read: nothing about the experiment.
# (TRAIN_LIST and VAL_LIST do: train_tiny.txt is another experiment.)
_PLACES = re.compile(r'.*_(ROOT|DIR|FILE|CLIP)$|WORKERS$')
# The same data, wherever they are.
_SAME_DATA = ('DATA_ROOT', 'VIDEO_DIR', 'MINI_CLIP', 'WORKERS')
_WHOLE = ('NUM_FRAMES', 'SEED', 'SHOTS', 'WORKERS')
# A misspelling is one that is this near to a knob, and not by itself a name
# that shells, schedulers or libraries set.
_NEAR = 0.82  # SHOT is, DISTDIR (LIST_DIR) is not
_OTHERS = re.compile(
    r'(_|LC_|LD_|PWD|OLDPWD|SSH_|XDG_|CUDA_|NCCL_|OMP_|MKL_|SLURM_|SBATCH_|'
    r'CI$|CI_|PYTHON|PIP_|VIRTUAL_|CONDA_|MASTER_|LOCAL_|WORLD_|RANK$|NODE)')


def read_knobs(config: str) -> Dict[str, str]:
    """Find the knobs that a config and its bases read.

    Args:
        config (str): Config file. Knobs in the paths of its bases are
            followed with their present values.

    Returns:
        dict[str, str]: Default by name. A config's own default goes before
        that of its bases.
    """
    # What is not UTF-8, MMEngine reports; a file beside it may be anything.
    with open(config, encoding='utf-8', errors='replace') as file:
        text = file.read()
    found = dict(_KNOB.findall(text))
    filled = _KNOB.sub(lambda m: os.environ.get(m[1], m[2]), text)
    for base in _bases(filled):
        path = osp.join(osp.dirname(config), base)
        if osp.isfile(path):  # if not, MMEngine says so
            found = {**read_knobs(path), **found}
    return found


def _bases(text: str) -> List[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # MMEngine's to report
        return []
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(
                node.targets[0], 'id', '') == '_base_':
            try:
                bases = ast.literal_eval(node.value)
            except ValueError:  # MMEngine's, too
                return []
            return [bases] if isinstance(bases, str) else list(bases)
    return []


def check_knobs(config: str,
                known: Mapping[str, str],
                environ: Optional[Mapping[str, str]] = None) -> None:
    """Refuse a knob that is misspelled or that this config does not read.

    Otherwise ``SHOT=4`` would train on 16 shots without a word. What a knob
    may be set to, the configs check themselves.

    Args:
        config (str): The config, for messages; the other entries beside it
            say what else is a knob.
        known (Mapping[str, str]): From :func:`read_knobs`.
        environ (Mapping[str, str], optional): Defaults to the environment.

    Raises:
        ValueError: The environment has a near miss of a knob, a knob of
            other configs that would change nothing here, or a value that
            no knob can have.
    """
    environ = os.environ if environ is None else environ
    for name in set(known) & set(environ):
        _check_value(name, environ[name])
    elsewhere = _knobs_beside(config) - set(known)
    for name in sorted(environ):
        if name in known or _OTHERS.match(name):
            continue
        if name in elsewhere and not is_place(name):
            raise ValueError(
                f'{name}={environ[name]} is set, but {config} has no such '
                f'knob (it has {", ".join(sorted(known)) or "none"}): unset '
                'it, or use the config that has it')
        near = _near(name, known)
        if near and name not in elsewhere:
            raise ValueError(
                f'{name}={environ[name]} is set, but {config} has no such '
                f'knob; did you mean {near}? (If {name} is for something '
                'else, unset it for this command: '
                f'env -u {name} ...)')


def _check_value(name: str, value: str) -> None:
    """What would come out of MMEngine's substitution as something else."""
    if not value:
        raise ValueError(f'{name} is empty: give it a value or unset it')
    if re.search(r'[\'"\\\n\r]', value):
        raise ValueError(
            f'{name}={value}: quotes, backslashes and line breaks cannot '
            'stand in a knob, which becomes Python text; a link to the file '
            'or folder under another name helps')
    automatic = name == 'WORKERS' and value == 'auto'
    if name in _WHOLE and not automatic and not re.fullmatch(
            '0|[1-9][0-9]*', value):
        raise ValueError(f'{name}={value}: give a whole number')


def _near(name: str, known: Mapping[str, str]) -> Optional[str]:
    """The knob that a name is a misspelling of."""
    upper = name.upper()  # seed=3
    for i in range(len(name) - 1):  # TNUE: too far for a ratio
        swapped = upper[:i] + upper[i + 1] + upper[i] + upper[i + 2:]
        if swapped in known:
            return swapped
    return next(iter(difflib.get_close_matches(upper, known, 1, _NEAR)), None)


def is_place(name: str) -> bool:
    """Whether a knob only says where something is."""
    return _PLACES.match(name) is not None


def _knobs_beside(config: str) -> set:
    folder = osp.dirname(osp.abspath(config))
    names = set()
    for file in os.listdir(folder):
        path = osp.join(folder, file)
        if file.endswith('.py') and osp.isfile(path):
            names |= set(read_knobs(path))
    return names


def values(known: Mapping[str, str]) -> Dict[str, str]:
    """What each knob is set to; its default where it is not."""
    return {
        name: os.environ.get(name, default)
        for name, default in sorted(known.items())
    }


def experiment(known: Mapping[str, str]) -> str:
    """What tells this experiment from others of its config.

    Returns:
        str: Fit for a folder's name, ``DATASET_ucf101-SHOTS_4``; empty if
        no knob is turned. Where videos lie is left out.
    """
    parts = []
    for name, default in sorted(known.items()):
        value = os.environ.get(name, default)
        if value != default and name not in _SAME_DATA:
            # of a path its last two parts: .../seed1/epoch_10.pth
            parts_of = osp.splitext(value)[0].strip(osp.sep).split(osp.sep)
            value = '_'.join(parts_of[-2:])
            parts.append(f'{name}_{re.sub(r"[^A-Za-z0-9.]+", "_", value)}')
    return '-'.join(parts)
