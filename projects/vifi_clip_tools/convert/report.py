"""The account of a conversion: every key, and what became of it."""
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List

from projects.vifi_clip.checkpoints.neutral import Written
from .source import Source

_MOST_LISTED = 6


@dataclass
class Report:
    """What became of each key.

    Attributes:
        head (dict): Source, target, architecture.
        used (dict[str, list[str]]): The source's key to the target's.
        dropped (dict[str, str]): The source's key to the reason.
        missing (dict[str, str]): The target's keys that the source has not,
            to the file that supplied them.
        settings (dict): What travels with the weights.
        notes (list[str]): What was assumed.
    """
    head: Dict[str, Any]
    used: Dict[str, List[str]]
    dropped: Dict[str, str]
    missing: Dict[str, str]
    settings: Dict[str, Any]
    notes: List[str]

    @classmethod
    def of(cls, source: Source, written: Written, supplied: Dict[str, str],
           target: str, settings: Dict[str, Any]) -> 'Report':
        """Join what reading and writing noted down."""
        targets: Dict[str, List[str]] = {}
        for key, name in written.origin.items():
            targets.setdefault(name, []).append(key)
        dropped = dict(source.neutral.dropped)
        used = {}
        for key, name in source.neutral.used.items():
            if name in targets:
                used[key] = targets[name]
            else:
                dropped[key] = written.dropped[name]
        missing = {
            key: path
            for name, path in supplied.items()
            for key in targets.get(name, [])
        }
        head = dict(
            source=source.path, layout=source.kind, target=target,
            arch=settings['arch'])
        return cls(head, used, dropped, missing, settings, source.notes)

    def as_json(self) -> str:
        """The full list."""
        return json.dumps(
            dict(self.head, settings=self.settings, notes=self.notes,
                 missing=self.missing, dropped=self.dropped, used=self.used),
            indent=1)

    def summary(self) -> str:
        """A few lines for the terminal."""
        arch = self.head['arch']
        lines = [
            f'arch: {arch if isinstance(arch, str) else json.dumps(arch)}',
            f'used: {len(self.used)} keys of the source'
        ]
        lines += _by_reason('dropped', self.dropped, 'it ')
        lines += _by_reason('missing', self.missing, 'taken from ')
        shown = {k: v for k, v in self.settings.items()
                 if k not in ('arch', 'version')}
        lines += [f'made with: {json.dumps(shown)}'] if shown else []
        lines += [f'note: {note}' for note in self.notes]
        return '\n'.join(lines)


def _by_reason(what: str, keys: Dict[str, str], lead: str) -> List[str]:
    if not keys:
        return [f'{what}: none']
    lines = []
    for reason, count in Counter(keys.values()).most_common():
        names = [k for k, v in keys.items() if v == reason]
        more = ' ...' if count > _MOST_LISTED else ''
        lines.append(f'{what}: {count} ({", ".join(names[:_MOST_LISTED])}'
                     f'{more}): {lead}{reason}')
    return lines
