"""The report as JSON, Markdown and tables, and the cleaned lists."""
import json
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from projects.vifi_clip.datasets.video_list import TRAIN
from projects.vifi_clip.files import sha256_of

from ..cli.tables import csv_lines, markdown_table
from ..cli.terminal import cleaned
from .checks import Videos, class_counts, content_of
from .findings import CHECKS, INFO, LEVELS, PROBLEM, WARNING, Finding
from .lists import Entry, VideoList, class_files_of, may_not_share

REPORT = 'report.json'
_SHOWN = 50  # findings of a kind in the Markdown report
_PLACES = 4  # of a finding there
_ENDS = 5  # classes at either end of the table of classes


@dataclass(frozen=True)
class Cleaned:
    """A list without the lines that do harm."""

    source: VideoList
    kept: List[Entry]
    removed: List[Tuple[Entry, str]]  # with the reason, a check
    listed: Dict[int, int]  # videos by label, see class_counts
    usable: Dict[int, int]

    def content(self) -> bytes:
        """Return the file's content; the original's if it lost nothing."""
        if not self.removed:
            return self.source.path.read_bytes()
        if self.source.is_json:
            return _json({entry.path: entry.source for entry in self.kept})
        return ''.join(f'{entry.source}\n' for entry in self.kept).encode()


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
        for name, items in groupby(self.findings, lambda item: item.check):
            yield name, list(items)


def make_report(options: Dict, dataset: Optional[str],
                lists: List[VideoList], videos: Videos,
                findings: Iterable[Finding]) -> Report:
    """Sort the findings, each once, and clean the lists."""
    order = list(CHECKS).index
    findings = sorted(set(findings), key=lambda f: (order(f.check), f))
    cleaned = [_clean(item, lists, videos) for item in lists]
    return Report(options, dataset, lists, videos, findings, cleaned)


def _clean(item: VideoList, lists: Sequence[VideoList],
           videos: Videos) -> Cleaned:
    """Leave out unusable and repeated videos, and leaks from training. Test
    lists lose neither leaking videos nor copies under another name."""
    leaks = {content_of(entry, videos) for other in lists
             if may_not_share(item, other) for entry in other.entries}
    kept: Dict[str, Entry] = {}
    contents, removed = set(), []
    for entry in item.entries:
        content, status = content_of(entry, videos), videos[entry.key].status
        if status != 'ok':
            reason = status
        elif entry.key in kept:
            reason = 'repeated_line'
        elif item.role == TRAIN and content in leaks:
            reason = 'train_test'
        elif item.role == TRAIN and content in contents:
            reason = 'same_bytes'
        else:
            kept[entry.key] = entry
            contents.add(content)
            continue
        removed.append((entry, reason))
    return Cleaned(item, list(kept.values()), removed,
                   class_counts(item, videos),
                   class_counts(item, videos, usable=True))


def inputs_of(lists: Sequence[VideoList], options: Dict) -> Dict:
    """Return what tells one run's question from another's."""
    files = {path.name: path for item in lists
             for path in (item.path, item.class_file) if path}
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
        'classes.csv': _csv(
            'list label class listed usable',
            ([item.source.name, label, item.source.class_name(label), number,
              item.usable.get(label, 0)]
             for item in report.cleaned
             for label, number in item.listed.items()))
    }
    files.update((f'clean/{item.source.name}', item.content())
                 for item in report.cleaned if item.kept)
    names = {item.name for item in report.lists}
    files.update((f'clean/{path.name}', path.read_bytes())
                 for path in class_files_of(report.lists)
                 if path.name not in names)
    # Without times and machine names, so the same for the same lists and
    # videos.
    files[REPORT] = _json(dict(
        format=1, files=sorted([*files, REPORT]),
        inputs=inputs_of(report.lists, report.options),
        dataset=report.dataset,
        counts={level: report.count(level) for level in LEVELS},
        videos=_summary(report.videos),
        lists=[_list_entry(item) for item in report.cleaned],
        findings=[{'check': item.check, 'level': item.level,
                   **item._asdict()} for item in report.findings]))
    return files


def _json(value: Dict) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + '\n').encode()


def _csv(columns: str, rows: Iterable[list]) -> bytes:
    return csv_lines([columns.split(), *rows]).encode()


def _list_entry(item: Cleaned) -> Dict:
    source = item.source
    return dict(
        name=source.name, role=source.role, part=source.part,
        split=source.split, shots=source.shots,
        class_list=source.class_file.name if source.class_file else None,
        videos=len(source.entries), cleaned=len(item.kept),
        videos_by_class=[*item.listed.values()],
        usable_by_class=[*item.usable.values()],
        removed=[dict(number=entry.number, path=entry.path, reason=reason)
                 for entry, reason in item.removed])


def _summary(videos: Videos) -> Dict:
    status = Counter(item.status for item in videos.values())
    return dict(
        number=len(videos), status=dict(sorted(status.items())),
        bytes=sum(item.size or 0 for item in videos.values()),
        **_ranges(videos))


def _ranges(videos: Videos) -> Dict[str, list]:
    """Return [smallest, median, largest] of what is known."""
    good = [item for item in videos.values() if item.frames]
    values = dict(
        frames=[item.frames for item in good],
        seconds=[round(item.seconds, 2) for item in good if item.seconds],
        short_side=[min(item.width, item.height) for item in good],
        fps=[item.fps for item in good])
    return {name: [min(each), median(each), max(each)]
            for name, each in values.items() if each}


def _markdown(report: Report) -> bytes:
    """The report for people."""
    parts = [_head(report), _list_table(report), _class_table(report)]
    parts += [section(name, items) for name, items in report.by_check()]
    parts.append(_removed(report.cleaned))
    return cleaned('\n\n'.join(filter(None, parts))).encode() + b'\n'


def _head(report: Report) -> str:
    problems, warnings = report.count(PROBLEM), report.count(WARNING)
    summary = _summary(report.videos)
    states = ', '.join(f'{number} {name}'
                       for name, number in summary['status'].items())
    options = {
        **report.options, 'data set': report.dataset or 'not a known one'}
    verdict = (f'{problems} problems, {warnings} warnings'
               if problems + warnings else 'Nothing wrong.')
    return '\n'.join([
        '# Data check', '', f'**{verdict}**', '',
        *(f'- {key.replace("_", " ")}: {value}'
          for key, value in options.items()),
        f'- {summary["number"]} videos, {summary["bytes"]} bytes; {states}',
        *(f'- {name.replace("_", " ")}: {low} to {high}, median {middle:g}'
          for name, (low, middle, high) in _ranges(report.videos).items())])


def _list_table(report: Report) -> str:
    rows = []
    for item in report.cleaned:
        source = item.source
        counts = item.usable.values()
        spread = ([min(counts), f'{median(counts):g}', max(counts)]
                  if counts else [''] * 3)
        rows.append([source.name, source.role, source.split or '',
                     len(source.classes or counts) or '',
                     len(source.entries), len(item.kept), *spread])
    header = ('list', 'for', 'split', 'classes', 'videos', 'cleaned',
              'a class: least', 'median', 'most')
    return '## Lists\n\n' + markdown_table(header, rows, 'l' * len(header))


def _class_table(report: Report) -> str:
    """The ends of the distribution over classes of each training list."""
    rows = []
    for item in report.cleaned:
        source = item.source
        if source.role == TRAIN and item.usable and not source.shots:
            ranked = [f'{source.class_name(label)} {number}' for label, number
                      in sorted(item.usable.items(), key=lambda p: p[::-1])]
            rows.append([source.name, ', '.join(ranked[:_ENDS]),
                         ', '.join(ranked[::-1][:_ENDS])])
    return rows and (
        '## Classes of training lists\n\nUsable videos; all classes of '
        'all lists are in classes.csv.\n\n' +
        markdown_table(('list', 'fewest', 'most'), rows, 'lll'))


def section(name: str, items: List[Finding]) -> str:
    """Write what one check found, in Markdown."""
    check = CHECKS[name]
    label = '' if check.level == INFO else f' ({check.level})'
    lines = [f'## {check.title}: {len(items)}{label}', '']
    lines += [check.advice, ''] if check.advice else []
    for item in items[:_SHOWN]:
        places = ', '.join(item.places[:_PLACES])
        if len(item.places) > _PLACES:
            places += f' and {len(item.places) - _PLACES} more'
        detail = item.detail and f': {item.detail}'
        lines.append(f'- `{item.subject}`{detail}{places and f" [{places}]"}')
    if len(items) > _SHOWN:
        lines.append(f'- and {len(items) - _SHOWN} more, see report.json')
    return '\n'.join(lines)


def _removed(cleaned: Sequence[Cleaned]) -> str:
    lines = []
    for item in cleaned:
        reasons = Counter(reason for _, reason in item.removed)
        if reasons:
            lines.append(f'- `{item.source.name}`: ' + ', '.join(
                f'{number} for "{CHECKS[reason].title}"'
                for reason, number in sorted(reasons.items())))
        if reasons and not item.kept:
            lines.append('  - nothing is left, so no file was written')
    return lines and '\n'.join([
        '## Left out of the cleaned lists', '',
        'Each line with its reason is in report.json.', '', *lines
    ])
