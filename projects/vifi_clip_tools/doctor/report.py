"""The report as JSON, Markdown and tables, and the cleaned lists."""
import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from projects.vifi_clip.datasets.video_list import TRAIN
from projects.vifi_clip.files import sha256_of

from ..cli.tables import markdown_table
from .checks import Videos, class_counts, content_of
from .findings import CHECKS, INFO, LEVELS, PROBLEM, UNUSABLE, WARNING, Finding
from .lists import Entry, VideoList, class_files_of, may_not_share

REPORT = 'report.json'
_FORMAT = 1  # of report.json
_SHOWN = 50  # findings of a kind in the Markdown report
_PLACES = 4  # of a finding there
_ENDS = 5  # classes at either end of the table of classes


@dataclass(frozen=True)
class Cleaned:
    """A list without the lines that do harm."""

    source: VideoList
    kept: List[Entry]
    removed: List[Tuple[Entry, str]]  # with the reason, a check

    def content(self) -> bytes:
        """Return the file's content; the original's if nothing was removed.
        """
        if not self.removed:
            return self.source.path.read_bytes()
        if self.source.is_json:
            data = {entry.path: entry.source for entry in self.kept}
            text = json.dumps(data, indent=1, ensure_ascii=False)
        else:
            text = '\n'.join(entry.source for entry in self.kept)
        return (text + '\n').encode()


@dataclass(frozen=True)
class Report:
    """All that a run found."""

    options: Dict  # settings that the result depends on
    dataset: Optional[str]  # whose published counts were compared
    lists: List[VideoList]
    videos: Videos
    findings: List[Finding]  # in the order of CHECKS
    cleaned: List[Cleaned]

    def count(self, level: str) -> int:
        """Return the number of findings of a level."""
        return sum(item.level == level for item in self.findings)

    def by_check(self) -> Iterable[Tuple[str, List[Finding]]]:
        """Yield the checks that found something, with what they found."""
        for name in CHECKS:
            findings = [item for item in self.findings if item.check == name]
            if findings:
                yield name, findings


def make_report(options: Dict, dataset: Optional[str],
                lists: List[VideoList], videos: Videos,
                findings: Iterable[Finding]) -> Report:
    """Sort the findings, each once, and clean the lists."""
    order = {name: i for i, name in enumerate(CHECKS)}
    findings = sorted(set(findings), key=lambda f: (order[f.check], f))
    cleaned = [_clean(item, lists, videos) for item in lists]
    return Report(options, dataset, lists, videos, findings, cleaned)


def _clean(item: VideoList, lists: Sequence[VideoList],
           videos: Videos) -> Cleaned:
    """Leave out unusable and repeated videos, and leaks from training. Test
    lists lose neither leaking videos nor copies under another name."""
    leaks = {content_of(entry, videos) for other in lists
             if may_not_share(item, other) for entry in other.entries}
    kept, removed = [], []
    keys: Set[str] = set()
    contents: Set[str] = set()
    for entry in item.entries:
        content, status = content_of(entry, videos), videos[entry.key].status
        if status in UNUSABLE:
            reason = status
        elif entry.key in keys:
            reason = 'repeated_line'
        elif item.role == TRAIN and content in leaks:
            reason = 'train_test'
        elif item.role == TRAIN and content in contents:
            reason = 'same_bytes'
        else:
            keys.add(entry.key)
            contents.add(content)
            kept.append(entry)
            continue
        removed.append((entry, reason))
    return Cleaned(item, kept, removed)


def inputs_of(lists: Sequence[VideoList], options: Dict) -> Dict:
    """Return what tells one run's question from another's."""
    files = {item.name: item.path for item in lists}
    files.update((item.class_file.name, item.class_file) for item in lists
                 if item.class_file)
    return dict(options, sha256={
        name: sha256_of(path) for name, path in sorted(files.items())
    })


def files_of(report: Report) -> Dict[str, bytes]:
    """Return the report's files: relative path to content.

    ``clean/`` holds the class lists too, so that it serves as a list folder.
    """
    files = {
        'report.md': _markdown(report),
        'videos.csv': _csv(
            'path status bytes frames width height fps sha256',
            ([key, item.status, item.size, item.frames, item.width,
              item.height, item.fps, item.sha256]
             for key, item in sorted(report.videos.items()))),
        'classes.csv': _csv('list label class listed usable', (
            row for item in report.lists
            for row in _class_rows(item, report.videos)))
    }
    for item in report.cleaned:
        if item.kept:
            files[f'clean/{item.source.name}'] = item.content()
    names = {item.name for item in report.lists}
    for path in class_files_of(report.lists):
        if path.name not in names:
            files[f'clean/{path.name}'] = path.read_bytes()
    files[REPORT] = _json(report, sorted([*files, REPORT]))
    return files


def _csv(columns: str, rows: Iterable[list]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(columns.split())
    writer.writerows(rows)
    return out.getvalue().encode()


def _class_rows(item: VideoList, videos: Videos) -> List[list]:
    usable = class_counts(item, videos, usable=True)
    return [[item.name, label, item.class_name(label), number,
             usable.get(label, 0)]
            for label, number in class_counts(item, videos).items()]


def _json(report: Report, files: Sequence[str]) -> bytes:
    """The report for programs, without times and machine names, so the same
    for the same lists and videos."""
    data = dict(
        format=_FORMAT, files=list(files),
        inputs=inputs_of(report.lists, report.options),
        dataset=report.dataset,
        counts={level: report.count(level) for level in LEVELS},
        videos=_summary(report.videos),
        lists=[_list_entry(item, report.videos) for item in report.cleaned],
        findings=[dict(check=item.check, level=item.level,
                       subject=item.subject, detail=item.detail,
                       places=item.places) for item in report.findings])
    return (json.dumps(data, indent=1, ensure_ascii=False) + '\n').encode()


def _list_entry(item: Cleaned, videos: Videos) -> Dict:
    source = item.source
    return dict(
        name=source.name, role=source.role, part=source.part,
        split=source.split, shots=source.shots,
        class_list=source.class_file.name if source.class_file else None,
        videos=len(source.entries),
        cleaned=len(item.kept),
        videos_by_class=[*class_counts(source, videos).values()],
        usable_by_class=[*class_counts(source, videos, True).values()],
        removed=[dict(number=entry.number, path=entry.path, reason=reason)
                 for entry, reason in item.removed])


def _summary(videos: Videos) -> Dict:
    """Ranges as [smallest, median, largest]."""
    good = [item for item in videos.values() if item.frames]
    values = dict(
        frames=[item.frames for item in good],
        seconds=[round(item.seconds, 2) for item in good if item.seconds],
        short_side=[min(item.width, item.height) for item in good],
        fps=[item.fps for item in good])
    status = Counter(item.status for item in videos.values())
    return dict(
        number=len(videos), status=dict(sorted(status.items())),
        bytes=sum(item.size or 0 for item in videos.values()),
        **{name: [min(each), median(each), max(each)]
           for name, each in values.items() if each})


def _markdown(report: Report) -> bytes:
    """The report for people."""
    parts = [_head(report), _list_table(report), _class_table(report)]
    parts += [_section(name, found) for name, found in report.by_check()]
    parts.append(_removed(report.cleaned))
    return '\n\n'.join(part for part in parts if part).encode() + b'\n'


def _head(report: Report) -> str:
    problems, warnings = report.count(PROBLEM), report.count(WARNING)
    seen = _summary(report.videos)
    lines = ['# Data check', '', f'**{problems} problems, {warnings} '
             'warnings**' if problems + warnings else '**Nothing wrong.**', '']
    lines += [f'- {key.replace("_", " ")}: {value}'
              for key, value in report.options.items()]
    lines.append(f'- data set: {report.dataset or "not a known one"}')
    states = [f'{number} {name}' for name, number in seen['status'].items()]
    lines.append(f'- {seen["number"]} videos, {seen["bytes"]} bytes; ' +
                 ', '.join(states))
    for name in ('frames', 'seconds', 'short_side', 'fps'):
        if name in seen:
            low, middle, high = seen[name]
            lines.append(f'- {name.replace("_", " ")}: {low} to {high}, '
                         f'median {middle:g}')
    return '\n'.join(lines)


def _list_table(report: Report) -> str:
    rows = []
    for item in report.cleaned:
        source = item.source
        counts = class_counts(source, report.videos, usable=True).values()
        spread = ([min(counts), f'{median(counts):g}', max(counts)]
                  if counts else ['', '', ''])
        rows.append([source.name, source.role, source.split or '',
                     len(source.classes or counts) or '',
                     len(source.entries), len(item.kept), *spread])
    header = ('list', 'for', 'split', 'classes', 'videos', 'cleaned',
              'a class: least', 'median', 'most')
    return '## Lists\n\n' + markdown_table(header, rows, 'l' * len(header))


def _class_table(report: Report) -> str:
    """The ends of the distribution over classes of each training list."""
    rows = []
    for item in report.lists:
        counts = class_counts(item, report.videos, usable=True)
        if item.role != TRAIN or item.shots or not counts:
            continue
        ranked = sorted(counts, key=lambda label: (counts[label], label))
        rows.append([item.name, *(
            ', '.join(f'{item.class_name(label)} {counts[label]}'
                      for label in labels)
            for labels in (ranked[:_ENDS], ranked[::-1][:_ENDS]))])
    if not rows:
        return ''
    return ('## Classes of training lists\n\nUsable videos; all classes of '
            'all lists are in classes.csv.\n\n' +
            markdown_table(('list', 'fewest', 'most'), rows, 'lll'))


def _section(name: str, found: List[Finding]) -> str:
    check = CHECKS[name]
    label = '' if check.level == INFO else f' ({check.level})'
    lines = [f'## {check.title}: {len(found)}{label}', '']
    lines += [check.advice, ''] if check.advice else []
    for item in found[:_SHOWN]:
        places = ', '.join(item.places[:_PLACES])
        if len(item.places) > _PLACES:
            places += f' and {len(item.places) - _PLACES} more'
        lines.append(f'- `{item.subject}`' +
                     (f': {item.detail}' if item.detail else '') +
                     (f' [{places}]' if places else ''))
    if len(found) > _SHOWN:
        lines.append(f'- and {len(found) - _SHOWN} more, see report.json')
    return '\n'.join(lines)


def _removed(cleaned: Sequence[Cleaned]) -> str:
    lines = []
    for item in cleaned:
        if not item.removed:
            continue
        reasons = Counter(reason for _, reason in item.removed)
        lines.append(f'- `{item.source.name}`: ' + ', '.join(
            f'{number} for "{CHECKS[reason].title}"'
            for reason, number in sorted(reasons.items())))
        if not item.kept:
            lines.append('  - nothing is left, so no file was written')
    return lines and '\n'.join([
        '## Left out of the cleaned lists', '',
        'Each line with its reason is in report.json.', '', *lines
    ])
