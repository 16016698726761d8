"""Guards the output folder: what is in it, and whether it may be replaced."""
import json
import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List

from projects.vifi_clip.datasets.video_list import find_missing
from projects.vifi_clip.files import sha256_of

MANIFEST = 'manifest.json'
_ENTRIES = {'annotations', 'stills', 'videos', MANIFEST}


def read_manifest(folder: Path) -> dict:
    """Return the manifest of a data set; empty if it has none of ours."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    ours = (isinstance(manifest, dict) and 'mini_world' in manifest
            and isinstance(manifest.get('annotations'), dict))
    return manifest if ours else {}


def damages(folder: Path, manifest: dict, paths: List[str]) -> List[str]:
    """List what of a data set is missing or was changed since, a phrase each.

    Its videos and stills (``paths``, relative to the folder) are only looked
    for; annotations are read.
    """
    missing = find_missing([str(folder / path) for path in paths])
    faults = [f'{paths[i]} is missing' for i in missing]
    for name, digest in manifest['annotations'].items():
        path = folder / 'annotations' / name
        if not path.is_file():
            faults.append(f'annotations/{name} is missing')
        elif sha256_of(path) != digest:
            faults.append(f'annotations/{name} was changed')
    return faults


def foreign_entries(folder: Path, manifest: dict) -> List[str]:
    """List what lies in a folder and was not put there by us; all of it if
    the manifest is empty."""
    if not manifest:
        return sorted(os.listdir(folder))
    foreign = set(os.listdir(folder)) - _ENTRIES
    annotations = folder / 'annotations'
    names = os.listdir(annotations) if annotations.is_dir() else []
    return sorted(foreign | {f'annotations/{name}' for name in names
                             if name not in manifest['annotations']})


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, beside ``folder``, whose place it takes
    at the end. A run that fails leaves ``folder`` as it was."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stem = f'.{folder.name}.{uuid.uuid4().hex[:8]}'
    partial = folder.with_name(f'{stem}.partial')
    retired = folder.with_name(f'{stem}.old')
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            os.replace(folder, retired)
        try:
            os.replace(partial, folder)
        except OSError:
            if retired.exists():
                os.replace(retired, folder)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(retired, ignore_errors=True)
