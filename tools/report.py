#!/usr/bin/env python
"""The paper's tables, from work directories; see --help."""
import sys

from _start import start

if __name__ == '__main__':
    sys.exit(start('report'))
