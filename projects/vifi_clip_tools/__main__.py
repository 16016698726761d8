"""``python -m projects.vifi_clip_tools COMMAND``: the command ``vifi-clip``.

Also for torchrun: ``torchrun ... -m projects.vifi_clip_tools COMMAND``.
"""
import sys

from .cli.main import main

if __name__ == '__main__':
    sys.exit(main())
