"""The letters of pictures that PIL draws."""
import os.path as osp
from functools import lru_cache
from typing import Any


@lru_cache
def dejavu(size: int, bold: bool = False) -> Any:
    """DejaVu Sans, which comes with matplotlib and has Greek and Cyrillic,
    too.

    Args:
        size (int): Pixels.
        bold (bool): Defaults to False.
    """
    import matplotlib
    from PIL import ImageFont
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(
        osp.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)
