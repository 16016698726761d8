"""The work of ``vifi-clip splits``."""
import json
import sys
from typing import Any, Dict, List

from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.errors import UserError
from .classes import PUBLISHED, ClassIndex, published_lists
from .list_folder import Job, ListFile, check_lists, write_lists
from .msrvtt import read_msrvtt
from .official import READERS
from .options import DATASETS, Options
from .own import read_own
from .protocols import (Plan, absent_classes, build, by_frequency,
                        from_lists)
from .records import Annotations
from .release import import_release


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
    if written:
        print(f'{out}: wrote {len(written)} files; {len(job.files)} lists are '
              'there')
    else:
        print(f'{out}: up to date, {len(job.files)} lists')


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
    plan = Plan(shots=options.shots, base_shots=options.base_shots,
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
