"""The one place that tells the version."""
__version__ = '0.1.0'
