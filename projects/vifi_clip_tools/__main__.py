"""``torchrun ... -m projects.vifi_clip_tools.cli COMMAND``: without a script."""
import sys

from .cli.main import main

if __name__ == '__main__':
    sys.exit(main())
