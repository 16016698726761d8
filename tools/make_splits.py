#!/usr/bin/env python
"""Write the lists of every protocol; see --help.

The work is in projects/vifi_clip/datasets/splits.
"""
import sys

from _start import bare

# Without their __init__, which would load torch and MMAction2: that takes
# longer than the work here.
for name in 'projects.vifi_clip', 'projects.vifi_clip.datasets':
    bare(name)

from projects.vifi_clip.datasets.splits.cli import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main())
