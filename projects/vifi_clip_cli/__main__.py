"""``torchrun ... -m projects.vifi_clip_cli COMMAND``: without a script."""
import sys

from .dispatch import main

if __name__ == '__main__':
    sys.exit(main())
