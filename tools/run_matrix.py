#!/usr/bin/env python
"""The paper's tables, run by run; see --help."""
import sys

from _start import start

if __name__ == '__main__':
    sys.exit(start('run_matrix'))
