#!/usr/bin/env python
"""The cost of a step on paper; see --help."""
import sys

from _start import start

if __name__ == '__main__':
    sys.exit(start('scale_model', fill=False))
