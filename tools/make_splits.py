#!/usr/bin/env python
"""Write the lists of every protocol; see --help.

The work is in projects/vifi_clip/datasets/splits.
"""
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def _without_init(name):
    """Make a package importable without running its ``__init__``.

    Those of the plugin load torch and MMAction2, which takes longer than the
    work here.
    """
    package = ModuleType(name)
    package.__path__ = [str(ROOT.joinpath(*name.split('.')))]
    sys.modules[name] = package


_without_init('projects.vifi_clip')
_without_init('projects.vifi_clip.datasets')
sys.path.insert(0, str(ROOT))

from projects.vifi_clip.datasets.splits.cli import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
