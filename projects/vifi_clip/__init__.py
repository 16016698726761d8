"""ViFi-CLIP for MMAction2: importing this package fills the registries.

Use it from a config with
``custom_imports = dict(imports=['projects.vifi_clip'])``.
"""
from . import compat
from .version import __version__

with compat.quick_imports():
    compat.apply()  # before the first import of mmaction.models
    from . import checkpoints, datasets, engine, evaluation, models

__all__ = [
    'checkpoints', 'compat', 'datasets', 'engine', 'evaluation', 'models',
    '__version__'
]
