"""The data doctor: checks lists and videos before they are trained on.

Nothing here needs torch or MMAction2, so that it starts at once and its
worker processes stay small.
"""
from .cli import main

__all__ = ['main']
