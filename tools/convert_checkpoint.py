#!/usr/bin/env python
"""Convert a checkpoint; see --help. The work is in projects/vifi_clip."""
import sys

from _start import start

if __name__ == '__main__':
    sys.exit(start('convert'))
