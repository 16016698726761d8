"""How the tools start: as the commands of ``vifi-clip`` do."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Runs from a checkout without an installation, from any directory. In an
# installed package, ROOT is its .mim, and the package is installed.
if (ROOT / 'projects').is_dir() and str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.vifi_clip_tools.cli.start import bare, start  # noqa: E402

__all__ = ['bare', 'start']
