#!/usr/bin/env python
"""Check a data set before training on it; see --help.

The work is in projects/vifi_clip/datasets/doctor.
"""
import sys

from _start import bare

# Without their __init__, which would load torch and MMAction2: that takes
# longer than the work here.
for name in 'projects.vifi_clip', 'projects.vifi_clip.datasets':
    bare(name)

from projects.vifi_clip.datasets.doctor import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
