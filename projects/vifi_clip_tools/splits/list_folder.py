"""Writing the lists of a data set, all or none, and their manifest."""
import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.version import __version__
from projects.vifi_clip.files import read_json
from .class_index import is_committed
from .protocols import Rows
from .reading import sha256

MANIFEST = 'manifest.json'


class ListFile(NamedTuple):
    """A file to write: its text, and counts for the manifest."""
    text: str
    counts: Dict[str, int]


def video_list(rows: Rows) -> ListFile:
    """``path label`` lines, as MMAction2's ``VideoDataset`` reads them."""
    text = ''.join(f'{path} {label}\n' for path, label in rows)
    classes = len({label for _, label in rows})
    return ListFile(text, dict(videos=len(rows), classes=classes))


def class_list(names: Sequence[str]) -> ListFile:
    """One class name per line."""
    return ListFile('\n'.join(names) + '\n', dict(classes=len(names)))


def make_manifest(dataset: str, options: Dict[str, Any],
                  sources: Sequence[Path],
                  files: Dict[str, ListFile]) -> Dict[str, Any]:
    """Say what made the lists, and what they are.

    Args:
        dataset (str): Name of the data set.
        options (dict): Settings that the lists follow from, other than those
            that their file names tell.
        sources (Sequence[Path]): Files that were read.
        files (dict[str, ListFile]): The lists by file name.

    Returns:
        dict: The manifest; without times and folders, so that another machine
        makes the same.
    """
    return dict(
        tool='make_splits',
        version=__version__,
        dataset=dataset,
        options=options,
        sources={
            path.name: sha256(path.read_bytes())
            for path in sorted(sources, key=lambda path: path.name)
        },
        lists={
            name: dict(sha256=sha256(file.text.encode()), **file.counts)
            for name, file in sorted(files.items())
        })


def read_manifest(folder: Path) -> Dict[str, Any]:
    """Read the manifest of a list folder.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If it is not one of ours.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no manifest; make the lists with '
                                'tools/make_splits.py first')
    manifest = read_json(path)
    if (not isinstance(manifest, dict)
            or manifest.get('tool') != 'make_splits'
            or not isinstance(manifest.get('lists'), dict)):
        raise UserError(f'{path}: not a manifest of tools/make_splits.py; '
                        'give another --out')
    _check_entries(path, manifest['lists'])
    return manifest


def _check_entries(path: Path, lists: Dict[str, Any]) -> None:
    if not lists:
        raise UserError(f'{path}: "lists" is empty: it lists nothing; make '
                        'the lists again')
    for name, entry in lists.items():
        # A name may neither lead out of the folder nor be the manifest's.
        if (Path(name).name != name or '\0' in name or name == MANIFEST
                or Path(name).suffix not in ('.txt', '.json')):
            raise UserError(f'{path}: {name!r} in "lists" is not the name of '
                            'a list; make the lists again')
        if not (isinstance(entry, dict)
                and isinstance(entry.get('sha256'), str)):
            raise UserError(f'{path}: the entry of {name!r} is {entry!r}'[:300]
                            + ', not a mapping with "sha256"; make the lists '
                            'again')


class Written(NamedTuple):
    """Names of the files that were written, and of those deleted."""
    files: List[str]
    deleted: List[str]


def write_lists(folder: Path, files: Dict[str, ListFile],
                manifest: Dict[str, Any], force: bool,
                sources: Sequence[Path] = ()) -> Written:
    """Write the lists and the manifest, all or none.

    Args:
        folder (Path): Folder to write to; made if absent.
        files (dict[str, ListFile]): The lists by file name.
        manifest (dict): Their manifest.
        force (bool): Overwrite lists that differ, and delete those that other
            settings or annotations made.
        sources (Sequence[Path]): Files that were read; never overwritten.

    Returns:
        Written: What was written, the rest was there; and what was deleted.

    Raises:
        UserError: If a different list is there and ``force`` is off, or it
            is a source, a committed class list, or changed by hand.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f'--out {folder}: a file of that name is there; give '
                        'a folder')
    manifest, stale = _with_earlier(folder, files, manifest, force)
    new = {name: file.text.encode() for name, file in files.items()
           if not _is_there(folder / name, file.text.encode())}
    different = sorted(name for name in new if (folder / name).exists())
    _spare(folder, different + stale, sources)
    if different and not force:
        raise UserError(
            f'{folder}: {len(different)} lists there differ from what would '
            f'be written: {_some(different)}; nothing was written. Give '
            'another --out, or --force to overwrite them')
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + '\n'
    if not _is_there(folder / MANIFEST, text.encode()):
        _spare(folder, [MANIFEST], sources)
        new[MANIFEST] = text.encode()  # last: it vouches for the others
    _replace_all(folder, new, stale)
    return Written(list(new), stale)


def _spare(folder: Path, names: Sequence[str],
           sources: Sequence[Path]) -> None:
    """Refuse to overwrite or delete what is not ours."""
    for path in (folder / name for name in names):
        if is_committed(path):
            raise UserError(
                f'{path}: the committed class list of a published data set '
                'differs from what would be written, and is never '
                'overwritten; nothing was written. Give --out, another folder')
        if path.exists() and any(path.samefile(s) for s in sources):
            raise UserError(
                f'{path} is one of the files that were read, and would be '
                'overwritten; nothing was written. Give another --out, or '
                'move that file')


def _with_earlier(folder: Path, files, manifest,
                  force: bool) -> Tuple[Dict[str, Any], List[str]]:
    """Keep what an earlier run with the same settings made, other K say.

    Returns:
        tuple: The manifest with it, and the names of lists to delete.
    """
    try:
        earlier = read_manifest(folder)
    except FileNotFoundError:
        return manifest, []
    except (UserError, ValueError) as error:
        if force:
            return manifest, []
        raise UserError(f'{error}. --force replaces it') from error
    kept = {
        name: entry for name, entry in earlier['lists'].items()
        if name not in files and (folder / name).is_file()
    }
    told = 'dataset', 'options', 'sources'
    stale = []
    if kept and any(earlier.get(key) != manifest[key] for key in told):
        if not force:
            raise UserError(
                f'{folder}: holds lists that were made with other settings '
                f'or annotations, and that this run does not make: '
                f'{_some(sorted(kept))}; nothing was written. Give another '
                '--out, or --force to delete them')
        stale, kept = _stale(folder, kept), {}
    lists = dict(sorted({**kept, **manifest['lists']}.items()))
    return {**manifest, 'lists': lists}, stale


def _stale(folder: Path, entries: Dict[str, Dict[str, Any]]) -> List[str]:
    """Names of old lists, which may hold videos of the new test lists."""
    for name, entry in sorted(entries.items()):
        if sha256((folder / name).read_bytes()) != entry['sha256']:
            raise UserError(
                f'{folder / name}: made with other settings or annotations, '
                'and changed since, so --force does not delete it; nothing '
                'was written. Move it away, or give another --out')
    return sorted(entries)


def _is_there(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _replace_all(folder: Path, new: Dict[str, bytes],
                 stale: Sequence[str]) -> None:
    if not new:
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: folder / f'.{name}.{os.getpid()}.tmp' for name in new}
    try:
        for name, data in new.items():
            if (folder / name).is_dir():
                raise UserError(f'{folder / name} is a folder; move it away')
            temporary[name].write_bytes(data)
        for name in stale:
            (folder / name).unlink()
        for name, path in temporary.items():
            os.replace(path, folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
