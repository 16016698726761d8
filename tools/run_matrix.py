#!/usr/bin/env python
"""The paper's tables, run by run; see --help. It is `vifi-clip matrix`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # under runpy, too
from _start import start  # noqa: E402

if __name__ == '__main__':
    sys.exit(start('matrix'))
