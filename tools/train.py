#!/usr/bin/env python
"""`vifi-clip train`, where MMAction2's users look for it."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# From a checkout without an installation, in any directory. In an installed
# package, ROOT is its .mim.
if (ROOT / 'projects').is_dir() and str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.vifi_clip_tools.cli.main import main  # noqa: E402

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
