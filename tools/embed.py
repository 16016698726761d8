#!/usr/bin/env python
"""Embed videos; see --help. The work is in projects/vifi_clip/apis."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # under runpy, too
from _start import start  # noqa: E402

if __name__ == '__main__':
    sys.exit(start('embed'))
