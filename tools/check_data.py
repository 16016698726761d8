#!/usr/bin/env python
"""Check a data set before training on it; see --help.

The work is in projects/vifi_clip/datasets/doctor.
"""
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Stand-ins for the packages above the doctor: their __init__ would load torch
# and MMAction2, which takes longer than checking a thousand videos.
for name in 'projects.vifi_clip', 'projects.vifi_clip.datasets':
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(ROOT / name.replace('.', '/'))]
        sys.modules[name] = package

from projects.vifi_clip.datasets.doctor import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
