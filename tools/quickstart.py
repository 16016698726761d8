#!/usr/bin/env python
"""Quickstart; see --help. The work is in projects/vifi_clip/apis."""
import sys

from _start import start

if __name__ == '__main__':
    sys.exit(start('quickstart'))
