"""Lists of videos, and the same lists of their packed copies."""
import json
import os.path as osp
from pathlib import Path, PurePosixPath
from typing import Any, Collection, Dict, List, NamedTuple, Tuple

from projects.vifi_clip.datasets.containers import file_of
from projects.vifi_clip.datasets.shards import INDEX
from projects.vifi_clip.datasets.video_dataset import check_captions
from projects.vifi_clip.datasets.video_list import (PACK_RECORD,
                                                    read_video_list)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json, write_text

LOCK = 'pack.lock'


class PackList(NamedTuple):
    """A list of videos."""

    file: Path
    entries: List[Tuple[str, Any]]  # path in it; label, -1 for none; captions

    def write(self, folder: Path, left_out: Collection[str]) -> None:
        """Write it to a folder, with the names of packed copies."""
        pairs = [(packed_name(path), rest) for path, rest in self.entries
                 if packed_name(path) not in left_out]
        if self.file.suffix == '.json':
            text = json.dumps(dict(pairs), indent=1) + '\n'
        else:
            text = ''.join(f'{name}\n' if label < 0 else f'{name} {label}\n'
                           for name, label in pairs)
        write_text(folder / self.file.name, text)


def read_lists(files: List[str]) -> List[PackList]:
    """Read text and JSON lists; a UserError for a path that leaves the folder
    of the videos, for two lists of one name, or one of our own files'."""
    lists: Dict[str, PackList] = {}
    for file in map(Path, files):
        if (file.name in (PACK_RECORD, INDEX, LOCK)
                or file.match('shard-*.tar')):
            raise UserError(f'{file}: vifi-clip pack writes another file of '
                            'that name beside the videos; rename the list')
        if file.name in lists:
            raise UserError(f'{lists[file.name].file} and {file}: two lists '
                            'with one name; rename one, or pack them '
                            'separately')
        if file.suffix == '.json':
            captions = read_json(file)
            check_captions(captions, str(file))
            entries = list(captions.items())
        else:
            entries = read_video_list(str(file), allow_unlabelled=True)
        for path, _ in entries:
            if osp.isabs(path) or '..' in PurePosixPath(path).parts:
                raise UserError(f'{file}: {path!r:.200} is not in --root; '
                                'write paths that are relative to it')
        lists[file.name] = PackList(file, entries)
    return list(lists.values())


def packed_name(path: str) -> str:
    """Return what the packed copy of a list's video is called. A reader that
    looks for ``path`` finds it, too (see :func:`file_of`)."""
    path = str(PurePosixPath(path))
    return path if path.lower().endswith('.mp4') else f'{path}.mp4'


def sources_of(lists: List[PackList], root: str) -> Dict[str, str]:
    """Return the file of each video that lists name, by its packed name."""
    sources: Dict[str, str] = {}
    for path, _ in (entry for item in lists for entry in item.entries):
        source = osp.normpath(file_of(osp.join(root, path)))
        other = sources.setdefault(packed_name(path), source)
        if other != source:
            raise UserError(f'{other} and {source} would have one name when '
                            'they are packed; rename one, in the lists too')
    return sources
