"""Annotation lists of every protocol, from the official annotations.

Nothing here imports torch or MMAction2 (only the check of videos on disk
does), so that ``tools/make_splits.py`` starts at once.
"""
from .draw import draw
from .records import Annotations, Video

__all__ = ['Annotations', 'Video', 'draw']
