"""The work of ``vifi-clip splits``: a folder of lists and its manifest,
written all or none, and checked."""
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.path_hints import remedy
from projects.vifi_clip.datasets.video_list import find_missing
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import (read_json, sha256_of,
                                      temporary_folder)
from projects.vifi_clip.version import __version__
from .classes import PUBLISHED, ClassIndex, is_committed, published_lists
from .options import DATASETS, Options
from .protocols import (Plan, absent_classes, build, by_frequency,
                        from_lists)
from .readers import READERS, read_msrvtt, read_own
from .records import Annotations, read_lines, some
from .release import import_release

MANIFEST = 'manifest.json'


class ListFile(NamedTuple):
    """A file to write: its text, and counts for the manifest."""

    text: str
    counts: Dict[str, int]


class Job(NamedTuple):
    """What to write: the files, and what the manifest tells of them."""

    dataset: str
    files: Dict[str, ListFile]  # by name
    # that the lists follow from, other than those that their names tell
    settings: Dict[str, Any]
    sources: List[Path]  # files that were read; never overwritten
    warnings: Sequence[str] = ()

    def manifest(self) -> Dict[str, Any]:
        """Say what made the lists, and what they are; without times and
        folders, so that another machine makes the same."""
        return dict(
            tool='make_splits', version=__version__, dataset=self.dataset,
            options=self.settings,
            sources=self._digests(),
            lists={name: dict(sha256=hashlib.sha256(
                file.text.encode()).hexdigest(), **file.counts)
                for name, file in sorted(self.files.items())})

    def _digests(self) -> Dict[str, str]:
        found: Dict[str, tuple] = {}
        for path in sorted(self.sources, key=lambda path: path.name):
            digest = sha256_of(path)
            other = found.setdefault(path.name, (digest, path))
            if other[0] != digest:
                raise UserError(f'{other[1]} and {path}: two files with one '
                                'name that differ; rename one')
        return {name: digest for name, (digest, _) in found.items()}


def make(options: Options) -> None:
    """Make the lists, and say what was written."""
    job = (_release(options) if options.import_dir else
           _retrieval(options) if options.dataset == 'msrvtt' else
           _recognition(options))
    out = options.out or PUBLISHED / options.dataset
    written, deleted = write_lists(out, job, options.force)
    for warning in job.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    if deleted:
        print(f'{out}: deleted {len(deleted)} lists of other settings: '
              f'{", ".join(deleted)}')
    videos = sum('videos' in file.counts for file in job.files.values())
    done = f'wrote {len(written)} files' if written else 'up to date'
    print(f'{out}: {done}; it holds {videos} lists of videos, '
          f'{len(job.files) - videos} of classes and {MANIFEST}')


def check(options: Options) -> int:
    """Compare lists with their manifest, and say what differs (exit code
    2)."""
    out = options.out or PUBLISHED / options.dataset
    faults = check_lists(out, options.dataset, options.videos)
    for fault in faults:
        print(f'error: {fault}', file=sys.stderr)
    if not faults:
        print(f'{out}: all lists are as the manifest says'
              + (', and all videos are there' if options.videos else ''))
    return 2 if faults else 0


def _release(options: Options) -> Job:
    lists, sources, warnings = import_release(
        options.import_dir, options.dataset, options.pattern,
        options.fix_labels)
    files = _files(published_lists(options.dataset), lists)
    settings = dict(made_from='release', pattern=options.pattern,
                    fix_labels=options.fix_labels)
    return Job(options.dataset, files, settings, sources, warnings)


def _retrieval(options: Options) -> Job:
    pattern = options.pattern or DATASETS['msrvtt']
    lists, sources = read_msrvtt(options.annotations, pattern)
    # In ASCII: MMAction2's VideoTextDataset opens it without an encoding.
    files = {name: ListFile(json.dumps(captions, indent=1) + '\n', dict(
        videos=len(captions), captions=sum(map(len, captions.values()))))
             for name, captions in lists.items()}
    return Job('msrvtt', files, dict(made_from='annotations',
                                     pattern=pattern), sources)


def _recognition(options: Options) -> Job:
    settings: Dict[str, Any] = dict(made_from='annotations')
    base_shots = options.base_shots
    if base_shots is None:
        base_shots = options.shots if options.csv else [16]
    plan = Plan(shots=options.shots, base_shots=base_shots,
                seeds=options.seeds)
    if options.csv:
        source = read_own(options.csv, options.classes, options.val_ratio)
        settings['val_ratio'] = options.val_ratio
        classes = {'classes.txt': source.classes}
    else:
        settings['pattern'] = options.pattern or DATASETS[options.dataset]
        classes = published_lists(options.dataset)
        index = ClassIndex(classes['classes.txt'],
                           f'data_splits/{options.dataset}')
        # zero_shot_from is val by default, so of Kinetics-400 too
        parts = list(dict.fromkeys(('train', 'val', options.zero_shot_from)))
        source = READERS[options.dataset](options.annotations, index, parts)
        source.fill_paths(settings['pattern'])
    source.check()
    if options.dataset == 'k400':
        plan.tiny = settings['tiny'] = options.tiny
    if options.dataset != 'k600':
        settings['partition'] = 'lists' if options.halves else \
            options.halving
        _partition(options, source, classes, plan)
    else:  # its models are trained on Kinetics-400
        plan.shots = plan.base_shots = ()
        plan.zero_shot_part = settings['zero_shot_from'] = \
            options.zero_shot_from
        labels = {name: i for i, name in enumerate(source.classes)}
        plan.zero_shot = [
            [labels[name] for name in classes[f'zero_shot_{n}_classes.txt']]
            for n in (1, 2, 3)]
    return Job(options.dataset, _files(classes, build(source, plan)),
               settings, source.sources + list(options.halves or ()),
               absent_classes(source))


def _partition(options: Options, source: Annotations,
               classes: Dict[str, List[str]], plan: Plan) -> None:
    """Settle the halves, and add their class lists to ``classes``."""
    names = source.classes
    if len(names) < 2:
        raise UserError(f'{source.sources[0]}: one class ({names[0]!r}); base '
                        'and novel need two')
    if not options.halves and options.halving == 'published':
        plan.halves = from_lists(names, classes['base_classes.txt'],
                                 classes['novel_classes.txt'],
                                 f'data_splits/{options.dataset}')
        return
    if options.halves:
        base, novel = (read_class_list(path) for path in options.halves)
        plan.halves = from_lists(names, base, novel,
                                 ' and '.join(map(str, options.halves)))
    else:
        first = next(iter(source.folds.values()))
        plan.halves = by_frequency(first['train'], len(names))
    for kind in '', '_words':  # every form of the class text
        texts = classes.get(f'classes{kind}.txt')
        for half, labels in zip(('base', 'novel'), plan.halves):
            if texts:
                classes[f'{half}_classes{kind}.txt'] = [
                    texts[label] for label in labels]


def _files(classes: Dict[str, List[str]], lists: Dict[str, list]
           ) -> Dict[str, ListFile]:
    """Write class names, one a line, and lists of ``path label`` lines, as
    MMAction2's ``VideoDataset`` reads them."""
    files = {name: ListFile('\n'.join(names) + '\n', dict(classes=len(names)))
             for name, names in classes.items()}
    for name, rows in lists.items():
        text = ''.join(f'{path} {label}\n' for path, label in rows)
        files[name] = ListFile(text, dict(
            videos=len(rows), classes=len({label for _, label in rows})))
    return files


def read_manifest(folder: Path) -> Dict[str, Any]:
    """Read the manifest of a list folder, if it is one of ours."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no manifest; make the lists with '
                                'vifi-clip splits first')
    manifest = read_json(path)
    lists = manifest.get('lists') if isinstance(manifest, dict) else None
    # A name may neither lead out of the folder nor be the manifest's.
    if not (lists and isinstance(lists, dict)
            and manifest.get('tool') == 'make_splits' and all(
                Path(name).name == name != MANIFEST and '\0' not in name
                and isinstance(entry, dict)
                and isinstance(entry.get('sha256'), str)
                for name, entry in lists.items())):
        raise UserError(f'{path}: not a manifest of vifi-clip splits, or a '
                        'damaged one; give another --out, or make the lists '
                        'again')
    return manifest


def check_lists(folder: Path, dataset: str,
                videos: Optional[Path]) -> List[str]:
    """Compare the lists of a folder with its manifest, and look for the
    videos below a folder of theirs: a phrase for each fault."""
    if videos and not videos.is_dir():
        raise UserError(f'--videos {videos}: no such folder; give the folder '
                        'that the paths of the lists are in')
    manifest = read_manifest(folder)
    if manifest.get('dataset') != dataset:
        raise UserError(f'{folder / MANIFEST}: made for '
                        f'{manifest.get("dataset")!r}, not {dataset!r}; give '
                        'the folder of that data set with --out')
    faults = []
    listed: Dict[str, None] = {}  # paths of videos, each once
    for name, entry in manifest['lists'].items():
        path = folder / name
        if not path.is_file():
            faults.append(f'{path} is missing')
        elif sha256_of(path) != entry['sha256']:
            faults.append(f'{path} was changed; make the lists again')
        elif 'videos' in entry:
            listed.update(dict.fromkeys(
                read_json(path) if path.suffix == '.json' else
                [line.rpartition(' ')[0] for _, line in read_lines(path)]))
    names = list(listed)
    missing = find_missing([str(videos / path) for path in names]
                           ) if videos else []
    if missing:
        faults.append(f'{len(missing)} of {len(names)} videos are not in '
                      f'{videos}: {some([names[i] for i in missing], 10)}'
                      + remedy(str(videos / names[missing[0]])))
    return faults


def write_lists(folder: Path, job: Job, force: bool
                ) -> Tuple[List[str], List[str]]:
    """Write the lists and the manifest, all or none.

    ``force`` overwrites lists that differ, and deletes those that other
    settings or annotations made. Returns the names of the files that were
    written (the rest was there) and of those that were deleted.

    Raises:
        UserError: A different list is there and ``force`` is off, or it is a
            source, a committed class list, or changed by hand.
    """
    manifest, stale = _with_earlier(folder, job, force)
    texts = {name: file.text for name, file in job.files.items()}
    # Last, since it vouches for the others.
    texts[MANIFEST] = json.dumps(manifest, indent=1, ensure_ascii=False) + '\n'
    new = {name: text.encode() for name, text in texts.items()
           if not (folder / name).exists()
           or (folder / name).read_bytes() != text.encode()}
    for path in (folder / name for name in [*new, *stale]):
        if not path.exists():
            continue
        if is_committed(path):
            raise _spared(f'{path} is a committed class list, which is never '
                          'overwritten')
        if any(path.samefile(source) for source in job.sources):
            raise _spared(f'{path} is one of the files that were read')
    different = sorted(name for name in new
                       if name != MANIFEST and (folder / name).exists())
    if different and not force:
        raise _spared(f'{folder}: {len(different)} lists there differ from '
                      f'what would be written: {some(different)}',
                      'or --force to overwrite them')
    if new:
        _replace_all(folder, new, stale)
    return list(new), stale


def _spared(problem: str, remedy: str = 'or move it away') -> UserError:
    return UserError(f'{problem}; nothing was written. Give another --out, '
                     + remedy)


def _with_earlier(folder: Path, job: Job,
                  force: bool) -> Tuple[Dict[str, Any], List[str]]:
    """Keep what an earlier run with the same settings made, other K say: the
    manifest with it, and lists to delete, which may hold videos of the new
    test lists."""
    manifest = job.manifest()
    try:
        earlier = read_manifest(folder)
    except FileNotFoundError:
        return manifest, []
    except (UserError, ValueError) as error:
        if force:
            return manifest, []
        raise UserError(f'{error}. --force replaces it') from error
    kept = {name: entry for name, entry in sorted(earlier['lists'].items())
            if name not in job.files and (folder / name).is_file()}
    if all(earlier.get(key) == manifest[key]
           for key in ('dataset', 'options', 'sources')):
        lists = dict(sorted({**kept, **manifest['lists']}.items()))
        return {**manifest, 'lists': lists}, []
    if kept and not force:
        raise _spared(
            f'{folder}: holds lists of other settings or annotations: '
            f'{some(list(kept))}', 'or --force to delete them')
    for name, entry in kept.items():
        if sha256_of(folder / name) != entry['sha256']:
            raise _spared(f'{folder / name} is of other settings or '
                          'annotations, and was changed since')
    return manifest, list(kept)


def _replace_all(folder: Path, new: Dict[str, bytes],
                 stale: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as temporary:
        for name, data in new.items():
            (temporary / name).write_bytes(data)
        for name in stale:
            (folder / name).unlink()
        for name in new:
            os.replace(temporary / name, folder / name)
