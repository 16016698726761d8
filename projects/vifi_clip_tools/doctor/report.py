"""The report as JSON and as Markdown."""
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Dict, List, Optional, Sequence

from .checks import Videos, class_counts
from .clean import Cleaned
from .findings import CHECKS, INFO, LEVELS, PROBLEM, WARNING, Finding
from .lists import VideoList
from projects.vifi_clip.datasets.naming import TRAIN

FORMAT = 1  # of report.json
_SHOWN = 50  # findings of a kind in the Markdown report
_ENDS = 5  # classes at either end of the table of classes


@dataclass(frozen=True)
class Report:
    """All that a run found.

    Args:
        options (dict): Settings that the result depends on.
        dataset (str, optional): Known data set that counts were compared
            with.
        lists (list[VideoList]): What was checked.
        videos (dict[str, Facts]): What is known of each video.
        findings (list[Finding]): In the order of :data:`CHECKS`.
        cleaned (list[Cleaned]): Cleaned lists.
    """

    options: Dict
    dataset: Optional[str]
    lists: List[VideoList]
    videos: Videos
    findings: List[Finding]
    cleaned: List[Cleaned]

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(item.level == level for item in self.findings)


def sort_findings(findings: Sequence[Finding]) -> List[Finding]:
    """By check, then by subject; each once."""
    order = {name: i for i, name in enumerate(CHECKS)}
    return sorted(set(findings), key=lambda item: (order[item.check], item))


def inputs_of(lists: Sequence[VideoList], options: Dict) -> Dict:
    """What tells one run's question from another's."""
    files = {item.name: item.path for item in lists}
    files.update((item.class_file.name, item.class_file) for item in lists
                 if item.class_file)
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(files.items())
    }
    return dict(options, sha256=digests)


def to_json(report: Report, files: Sequence[str]) -> bytes:
    """The report for programs, without times and machine names.

    Args:
        report (Report): What was found.
        files (Sequence[str]): All files of the report's folder.

    Returns:
        bytes: JSON, the same for the same lists and videos.
    """
    data = dict(
        format=FORMAT,
        files=list(files),
        inputs=inputs_of(report.lists, report.options),
        dataset=report.dataset,
        counts={
            level: report.count(level)
            for level in LEVELS
        },
        videos=_summary(report.videos),
        lists=[_list_entry(item, report.videos) for item in report.cleaned],
        findings=[
            dict(
                check=item.check,
                level=item.level,
                subject=item.subject,
                detail=item.detail,
                places=list(item.places)) for item in report.findings
        ])
    return (json.dumps(data, indent=1, ensure_ascii=False) + '\n').encode()


def to_markdown(report: Report) -> bytes:
    """The report for people."""
    parts = [_head(report), _list_table(report), _class_table(report)]
    for name in CHECKS:
        found = [item for item in report.findings if item.check == name]
        if found:
            parts.append(_section(name, found))
    parts.append(_removed(report.cleaned))
    return '\n\n'.join(part for part in parts if part).encode() + b'\n'


def _summary(videos: Videos) -> Dict:
    """Ranges as [smallest, median, largest]."""
    good = [item for item in videos.values() if item.frames]
    values = dict(
        frames=[item.frames for item in good],
        seconds=[round(item.seconds, 2) for item in good if item.seconds],
        short_side=[min(item.width, item.height) for item in good],
        fps=[item.fps for item in good])
    return dict(
        number=len(videos),
        status=dict(sorted(Counter(
            item.status for item in videos.values()).items())),
        bytes=sum(item.size or 0 for item in videos.values()),
        **{
            name: [min(each), median(each), max(each)]
            for name, each in values.items() if each
        })


def _list_entry(item: Cleaned, videos: Videos) -> Dict:
    source = item.source
    return dict(
        name=source.name,
        role=source.role,
        part=source.part,
        split=source.split,
        shots=source.shots,
        class_list=source.class_file.name if source.class_file else None,
        videos=len(source.entries),
        cleaned=len(item.kept),
        videos_by_class=list(class_counts(source, videos).values()),
        usable_by_class=list(
            class_counts(source, videos, usable=True).values()),
        removed=[
            dict(number=each.entry.number, path=each.entry.path,
                 reason=each.reason) for each in item.removed
        ])


def _head(report: Report) -> str:
    verdict = (f'{report.count(PROBLEM)} problems, '
               f'{report.count(WARNING)} warnings'
               if report.count(PROBLEM) + report.count(WARNING) else
               'Nothing wrong.')
    seen = _summary(report.videos)
    lines = ['# Data check', '', f'**{verdict}**', '']
    lines += [f'- {key.replace("_", " ")}: {value}'
              for key, value in report.options.items()]
    lines.append(f'- data set: {report.dataset or "not a known one"}')
    lines.append(f'- {seen["number"]} videos, {seen["bytes"]} bytes; ' +
                 ', '.join(f'{number} {status}'
                           for status, number in seen['status'].items()))
    for name in ('frames', 'seconds', 'short_side', 'fps'):
        if name in seen:
            low, middle, high = seen[name]
            lines.append(f'- {name.replace("_", " ")}: {low} to {high}, '
                         f'median {middle:g}')
    return '\n'.join(lines)


def _list_table(report: Report) -> str:
    rows = [
        '## Lists', '',
        '| list | for | split | classes | videos | cleaned | a class: '
        'least | median | most |', '| --- ' * 9 + '|'
    ]
    for item in report.cleaned:
        source = item.source
        counts = class_counts(source, report.videos, usable=True).values()
        spread = ([min(counts), f'{median(counts):g}', max(counts)]
                  if counts else ['', '', ''])
        cells = [
            source.name, source.role, source.split or '',
            len(source.classes or counts) or '',
            len(source.entries),
            len(item.kept), *spread
        ]
        rows.append('| ' + ' | '.join(map(str, cells)) + ' |')
    return '\n'.join(rows)


def _class_table(report: Report) -> str:
    """The ends of the distribution over classes of each training list."""
    rows = []
    for item in report.lists:
        counts = class_counts(item, report.videos, usable=True)
        if item.role != TRAIN or item.shots or not counts:
            continue
        ranked = sorted(counts, key=lambda label: (counts[label], label))
        ends = [
            ', '.join(f'{item.class_name(label)} {counts[label]}'
                      for label in labels)
            for labels in (ranked[:_ENDS], ranked[::-1][:_ENDS])
        ]
        rows.append(f'| {item.name} | {ends[0]} | {ends[1]} |')
    if not rows:
        return ''
    return '\n'.join([
        '## Classes of training lists', '',
        'Usable videos; all classes of all lists are in classes.csv.', '',
        '| list | fewest | most |', '| --- | --- | --- |'
    ] + rows)


def _section(name: str, found: List[Finding]) -> str:
    check = CHECKS[name]
    label = '' if check.level == INFO else f' ({check.level})'
    lines = [f'## {check.title}: {len(found)}{label}', '']
    lines += [check.advice, ''] if check.advice else []
    for item in found[:_SHOWN]:
        where = f' [{_places(item.places)}]' if item.places else ''
        detail = f': {item.detail}' if item.detail else ''
        lines.append(f'- `{item.subject}`{detail}{where}')
    if len(found) > _SHOWN:
        lines.append(f'- and {len(found) - _SHOWN} more, see report.json')
    return '\n'.join(lines)


def _places(places: Sequence[str], shown: int = 4) -> str:
    more = f' and {len(places) - shown} more' if len(places) > shown else ''
    return ', '.join(places[:shown]) + more


def _removed(cleaned: Sequence[Cleaned]) -> str:
    lines = []
    for item in cleaned:
        if not item.removed:
            continue
        reasons = Counter(each.reason for each in item.removed)
        lines.append(f'- `{item.source.name}`: ' + ', '.join(
            f'{number} for "{CHECKS[reason].title}"'
            for reason, number in sorted(reasons.items())))
        if not item.kept:
            lines.append('  - nothing is left, so no file was written')
    if not lines:
        return ''
    return '\n'.join([
        '## Left out of the cleaned lists', '',
        'Each line with its reason is in report.json.', ''
    ] + lines)
