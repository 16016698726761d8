#!/usr/bin/env python
"""The paper's tables, from work directories; see --help."""
import sys
from pathlib import Path

# Runs from a checkout without an installation, from any directory.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip.apis.launch import run_main  # noqa: E402
from projects.vifi_clip.apis.report import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(run_main(main))
