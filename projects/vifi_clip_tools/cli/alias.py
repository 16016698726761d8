"""``python -m projects.vifi_clip COMMAND``: the command ``vifi-clip``."""
import sys

from .main import main

if __name__ == '__main__':
    sys.exit(main())
