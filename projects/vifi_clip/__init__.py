"""ViFi-CLIP for MMAction2: importing this package fills the registries.

Use it from a config with
``custom_imports = dict(imports=['projects.vifi_clip'])``.
"""
from . import compat

compat.apply()  # before the first import of mmaction.models

from . import datasets, engine, evaluation, models  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    'compat', 'datasets', 'engine', 'evaluation', 'models', '__version__'
]
