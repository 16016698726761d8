"""What comes with the code but is no module: configs, scripts, class lists.

In a checkout these folders lie beside ``projects/``. A wheel has them in
``vifi_clip/.mim``, as OpenMMLab's packages do (see setup.py).
"""
import difflib
import os.path as osp
from pathlib import Path
from typing import List, Optional

_PACKAGE = Path(__file__).resolve().parent
# In the folder of a trained model.
MODEL_CONFIG, MODEL_WEIGHTS = 'config.py', 'model.safetensors'
OURS = 'vifi_clip::'  # in a _base_, before a path below configs/
HUB = 'hf://'  # before ORGANISATION/NAME on the Hugging Face Hub


def root() -> Path:
    """Return the folder that holds ``configs/``, ``tools/`` and
    ``data_splits/``: the checkout, or ``.mim`` of an installed package."""
    # Together they tell a checkout from a site-packages with stray `configs`.
    ours = ('configs/vifi_k400.py', 'tools/train.py')
    site = _PACKAGE.parents[1]
    for folder in site, site / 'vifi_clip' / '.mim':
        if all((folder / name).is_file() for name in ours):
            return folder
    raise FileNotFoundError(f'{_PACKAGE} has no configs: pip install '
                            '"vifi_clip", or clone the repository')


def config_names() -> List[str]:
    """List the entry configs: ``'vifi_k400'``, ``'mix/tsn_...'``."""
    configs = root() / 'configs'
    paths = (path.relative_to(configs) for path in configs.rglob('*.py'))
    return sorted((path.with_suffix('').as_posix() for path in paths
                   if path.parts[0] != '_base_'),
                  key=lambda name: ('/' in name, name))


def shipped_config(name: str) -> Optional[str]:
    """Return the absolute path of an entry in ``configs/``, whose name may
    have ``.py`` and ``configs/`` before it, or be that path; None for any
    other config, also where a file has the name of an entry."""
    configs = root() / 'configs'
    short = name.removeprefix(f'{configs}/').removeprefix('./').removeprefix(
        'configs/').removesuffix('.py')
    return str(configs / f'{short}.py') if short in config_names() else None


def find_here(name: str) -> str:
    """Return the path of a config on this machine: an existing file as it was
    given, that in the folder of a trained model, or that of
    :func:`shipped_config`. A FileNotFoundError lists the names."""
    if Path(name).is_file():
        return name
    shipped = shipped_config(name)
    if shipped:
        return shipped
    if name and Path(name).is_dir():
        return _in_folder(name)
    raise _unknown(name)


def base_path(base: str, folder: str) -> str:
    """Return the path of a ``_base_`` of a config in ``folder``: of
    'vifi_clip::vifi_mini.py' the shipped one."""
    if not base.startswith(OURS):
        return osp.join(folder, base)
    name = base.removeprefix(OURS)
    return osp.join(root(), 'configs', name + '.py' * (
        osp.splitext(name)[1] == ''))


def shipped_base(base: object) -> Optional[str]:
    """Return the path of a ``_base_`` such as 'vifi_clip::vifi_mini.py';
    None for any other. A FileNotFoundError lists the names."""
    if not isinstance(base, str) or not base.startswith(OURS):
        return None
    path = base_path(base, '')
    if '..' in Path(path).parts or not Path(path).is_file():
        raise _unknown(base)
    return path


def _unknown(name: str) -> FileNotFoundError:
    models = '' if name.startswith(OURS) else (
        f' the folder of a model, {HUB}ORGANISATION/NAME,')
    return FileNotFoundError(
        f'Config {name!r} does not exist.{did_you_mean(name)} Give a file,'
        f'{models} or one of {", ".join(config_names())}.')


def did_you_mean(name: str) -> str:
    """Ask for the entry in ``configs/`` that is nearest to a name; empty if
    none is near."""
    # 'tsn_r50' is near to 'mix/tsn_r50_...' by what follows the folder
    by_end = {known.rpartition('/')[2]: known for known in config_names()}
    stem = Path(name.removeprefix(OURS)).name.removesuffix('.py')
    near = difflib.get_close_matches(stem, by_end, 1)
    return f' Did you mean {by_end[near[0]]!r}?' if near else ''


def _in_folder(folder: str) -> str:
    """Return the config in the folder of a trained model, or of its run."""
    for path in (Path(folder, MODEL_CONFIG),
                 Path(folder, 'model', MODEL_CONFIG)):
        if path.is_file() and (path.parent / MODEL_WEIGHTS).is_file():
            break
    else:
        raise FileNotFoundError(
            f'{folder!r} is not the folder of a trained model, which has '
            f'{MODEL_CONFIG} and {MODEL_WEIGHTS}: vifi-clip train writes one '
            'as WORK_DIR/model')
    if set("'\\\n") & set(str(path.absolute())):  # it stands in quotes there
        raise ValueError(f"the path {path.parent.absolute()} has ' or \\ in "
                         'it: rename or move the folder')
    return str(path)
