"""Where a list of videos comes from."""
import json
from pathlib import Path
from typing import Dict

from ..files import sha256_of

# The paper's released list; the same with labels that fit the file names;
# made from a data set's official annotations, or from a CSV of one's own.
RELEASE, FIXED, OFFICIAL = 'release', 'release, labels fixed', 'annotations'
CHANGED, UNKNOWN = 'changed', 'unknown'


def list_origin(path: str) -> Dict[str, str]:
    """Say where a list comes from, by the manifest of ``vifi-clip splits``
    beside it: ``file`` (name), ``sha256``, ``origin`` (one of this module's
    constants) and, if known, ``dataset``."""
    file = Path(path)
    if not file.is_file():  # on another server
        return dict(file=file.name, sha256='', origin=UNKNOWN)
    digest = sha256_of(file)
    entry = dict(file=file.name, sha256=digest, origin=UNKNOWN)
    try:
        manifest = json.loads(file.with_name('manifest.json').read_text())
        options = manifest['options']
        same = manifest['lists'][file.name]['sha256'] == digest
        made_from = options['made_from']
        dataset = str(manifest['dataset'])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return entry  # a list of the user's own
    if made_from not in (RELEASE, OFFICIAL):
        return entry
    origin = FIXED if options.get('fix_labels') else made_from
    return dict(entry, origin=origin if same else CHANGED, dataset=dataset)
