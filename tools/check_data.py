#!/usr/bin/env python
"""Check a data set before training on it; see --help.

The work is in projects/vifi_clip/datasets/doctor.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # under runpy, too
from _start import bare  # noqa: E402

# Without their __init__, which would load torch and MMAction2: that takes
# longer than the work here.
for name in 'projects.vifi_clip', 'projects.vifi_clip.datasets':
    bare(name)

from projects.vifi_clip.datasets.doctor import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
