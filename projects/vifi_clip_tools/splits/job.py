"""What ``tools/make_splits.py`` does, once its options are read."""
import argparse
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.datasets.class_list import read_class_list
from . import msrvtt
from .catalogue import DATASETS
from .class_index import published_index, published_lists
from .list_folder import (ListFile, class_list, make_manifest, video_list,
                          write_lists)
from .own import read_own
from .partition import by_frequency, from_lists
from .protocols import Plan, absent_classes, build
from .records import Annotations
from .release import import_release


class Job(NamedTuple):
    """What to write."""
    files: Dict[str, ListFile]
    options: Dict[str, Any]
    sources: List[Path]
    warnings: List[str]


def run(args: argparse.Namespace) -> List[str]:
    """Make the lists.

    Args:
        args (Namespace): The options of the tool.

    Returns:
        list[str]: What to tell the user.
    """
    if args.import_dir:
        job = _import(args)
    elif args.dataset == 'msrvtt':
        job = _retrieval(args)
    else:
        job = _recognition(args)
    manifest = make_manifest(args.dataset, job.options, job.sources,
                             job.files)
    written = write_lists(args.out, job.files, manifest, args.force,
                          job.sources)
    said = [f'warning: {warning}' for warning in job.warnings]
    if written.deleted:
        said.append(f'{args.out}: deleted {len(written.deleted)} lists of '
                    f'other settings: {", ".join(written.deleted)}')
    if not written.files:
        return said + [f'{args.out}: up to date, {len(job.files)} lists']
    return said + [f'{args.out}: wrote {len(written.files)} files; '
                   f'{len(job.files)} lists are there']


def _import(args) -> Job:
    imported = import_release(args.import_dir, args.dataset, args.pattern,
                              args.fix_labels)
    files = _class_files(published_lists(args.dataset))
    files.update({n: video_list(r) for n, r in imported.lists.items()})
    options = dict(
        made_from='release', pattern=args.pattern, fix_labels=args.fix_labels)
    return Job(files, options, imported.sources, imported.warnings)


def _retrieval(args) -> Job:
    pattern = args.pattern or DATASETS['msrvtt'].pattern
    lists, sources = msrvtt.read_msrvtt(args.annotations, pattern)
    files = {
        name: ListFile(msrvtt.as_json(captions), dict(
            videos=len(captions),
            captions=sum(len(texts) for texts in captions.values())))
        for name, captions in lists.items()
    }
    options = dict(made_from='annotations', pattern=pattern)
    return Job(files, options, sources, [])


def _recognition(args) -> Job:
    dataset = DATASETS.get(args.dataset)
    options: Dict[str, Any] = dict(made_from='annotations')
    plan = Plan(shots=args.shots, base_shots=args.base_shots,
                seeds=args.seeds)
    if dataset is None:
        annotations = read_own(args.csv, args.classes, args.val_ratio)
        options.update(val_ratio=args.val_ratio)
        classes = {'classes.txt': annotations.classes}
    else:
        options['pattern'] = args.pattern or dataset.pattern
        annotations = _read_published(args, options['pattern'], plan)
        classes = published_lists(args.dataset)
        if not dataset.few_shot:
            plan.shots = ()
        if dataset.tiny:
            plan.tiny = args.tiny
            options['tiny'] = args.tiny
    annotations.check()
    if dataset is None or dataset.base_novel:
        options['partition'] = 'lists' if args.halves else args.partition
        _partition(args, annotations, classes, plan)
    elif args.dataset == 'k600':
        _zero_shot(annotations, classes, plan)
        options['zero_shot_from'] = plan.zero_shot_part
    files = _class_files(classes)
    lists = build(annotations, plan)
    files.update({name: video_list(rows) for name, rows in lists.items()})
    return Job(files, options, annotations.sources + list(args.halves or ()),
               absent_classes(annotations))


def _read_published(args, pattern: str, plan: Plan) -> Annotations:
    read = DATASETS[args.dataset].read
    index = published_index(args.dataset)
    if args.dataset != 'k600':
        return read(args.annotations, index, pattern)
    plan.zero_shot_part = args.zero_shot_from
    parts = dict.fromkeys(('train', 'val', args.zero_shot_from))
    return read(args.annotations, index, pattern, tuple(parts))


def _partition(args, annotations: Annotations, classes: Dict[str, List[str]],
               plan: Plan) -> None:
    """Settle the halves, and their class lists."""
    names = annotations.classes
    if len(names) < 2:
        raise UserError(f'{annotations.sources[0]}: one class '
                        f'({names[0]!r}); base and novel need two')
    if args.halves:
        base, novel = (read_class_list(path) for path in args.halves)
        source = ' and '.join(str(path) for path in args.halves)
        plan.halves = from_lists(names, base, novel, source)
    elif args.partition == 'published':
        plan.halves = from_lists(names, classes['base_classes.txt'],
                                 classes['novel_classes.txt'],
                                 f'data_splits/{args.dataset}')
        return
    else:
        first = next(iter(annotations.folds.values()))
        plan.halves = by_frequency(first['train'], len(names))
    for kind in '', '_words':  # every form of the class text
        texts = classes.get(f'classes{kind}.txt')
        for half, labels in zip(('base', 'novel'), plan.halves):
            if texts:
                classes[f'{half}_classes{kind}.txt'] = [
                    texts[label] for label in labels
                ]


def _zero_shot(annotations: Annotations, classes: Dict[str, List[str]],
               plan: Plan) -> None:
    labels = {name: i for i, name in enumerate(annotations.classes)}
    plan.zero_shot = [[labels[name] for name in classes[file]]
                      for file in (f'zero_shot_{n}_classes.txt'
                                   for n in (1, 2, 3))]


def _class_files(classes: Dict[str, List[str]]) -> Dict[str, ListFile]:
    return {name: class_list(names) for name, names in classes.items()}
