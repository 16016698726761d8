"""A small world of moving objects, rendered and encoded to real video.

It stands in for the data sets that cannot be shipped. Nothing here imports
torch or MMAction2, so that making the data set starts at once.
"""
from .build import WorldParams, build
from .folder import MiniWorldError

__all__ = ['MiniWorldError', 'WorldParams', 'build']
