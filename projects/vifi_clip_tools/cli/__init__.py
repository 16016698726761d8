"""``vifi-clip``: every tool as a command of an installed package.

A package of its own, since importing ``projects.vifi_clip`` fills MMAction2's
registries, which takes seconds.
"""
from .main import main

__all__ = ['main']
