#!/usr/bin/env python
"""Embed frames once; see --help. It is `vifi-clip cache-frames`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # under runpy, too
from _start import start  # noqa: E402

if __name__ == '__main__':
    sys.exit(start('cache-frames'))
