"""The letters of pictures that PIL draws."""
import os.path as osp
from functools import lru_cache
from typing import Any


@lru_cache
def dejavu(size: int, bold: bool = False) -> Any:
    """Load DejaVu Sans of a size in pixels, which comes with matplotlib and
    has Greek and Cyrillic, too.
    """
    import matplotlib
    from PIL import ImageFont
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(
        osp.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)
