"""The web page: what it computes, how it looks, and how it is served.

Gradio is imported by ``page`` and ``server`` alone.
"""
from .answers import Request
from .limits import Limits
from .service import Recogniser

__all__ = ['Limits', 'Recogniser', 'Request']
