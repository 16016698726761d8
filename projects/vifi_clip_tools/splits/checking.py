"""``--check``: lists against their manifest, and against the disk."""
from pathlib import Path
from typing import Any, Dict, List, Optional

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json
from .list_folder import MANIFEST, read_manifest
from .reading import read_lines, sha256


def check_lists(folder: Path, dataset: str,
                videos: Optional[Path]) -> List[str]:
    """Compare the lists of a folder with its manifest.

    Args:
        folder (Path): The list folder.
        dataset (str): Name of the data set that should be there.
        videos (Path, optional): Folder of the videos, to look for them too.

    Returns:
        list[str]: One phrase for each fault.

    Raises:
        FileNotFoundError: If there is no manifest.
        UserError: If it is of another data set or not one of ours, or there
            is no folder of videos.
    """
    manifest = read_manifest(folder)
    if manifest.get('dataset') != dataset:
        raise UserError(f'{folder / MANIFEST}: made for '
                        f'{manifest.get("dataset")!r}, not {dataset!r}; give '
                        'the folder of that data set with --out')
    faults = []
    paths: Dict[str, str] = {}
    for name, entry in manifest['lists'].items():
        path = folder / name
        if not path.is_file():
            faults.append(f'{path} is missing')
            continue
        faults += _check_file(path, entry)
        if videos and 'videos' in entry:
            for video in _paths_of(path):
                paths.setdefault(video, name)
    if videos:
        faults += _check_videos(videos, paths)
    return faults


def unknown_lists(folder: Path) -> List[str]:
    """Names of the lists of a folder that its manifest does not know."""
    known = {MANIFEST, *read_manifest(folder)['lists']}
    return sorted(path.name for pattern in ('*.txt', '*.json')
                  for path in folder.glob(pattern) if path.name not in known)


def _check_file(path: Path, entry: Dict[str, Any]) -> List[str]:
    if sha256(path.read_bytes()) == entry.get('sha256'):
        return []
    phrase = f'{path} was changed (SHA-256 differs'
    expected = entry.get('videos', entry.get('classes'))
    found = len(_paths_of(path)) if path.stat().st_size else 0
    if found != expected:
        phrase += f'; {found} lines, the manifest says {expected}'
    return [f'{phrase}); make the lists again']


def _paths_of(path: Path) -> List[str]:
    try:
        if path.suffix == '.json':
            data = read_json(path)
            return list(data) if isinstance(data, dict) else []
        return [line.rpartition(' ')[0] for _, line in read_lines(path)]
    except (ValueError, UserError):  # reported as changed
        return []


def _check_videos(folder: Path, paths: Dict[str, str]) -> List[str]:
    # MMEngine, and so torch, is loaded for this alone.
    from projects.vifi_clip.datasets.video_list import find_missing
    if not folder.is_dir():
        raise UserError(f'--videos {folder}: no such folder; give the folder '
                        'that the paths of the lists start from')
    names = list(paths)
    missing = find_missing([str(folder / name) for name in names])
    if not missing:
        return []
    shown = [f'  {names[i]} ({paths[names[i]]})' for i in missing[:10]]
    if len(missing) > len(shown):
        shown.append(f'  ... and {len(missing) - len(shown)} more')
    return ['\n'.join([f'{len(missing)} of {len(names)} videos are not '
                       f'below {folder}:', *shown])]
