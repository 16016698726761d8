"""The letters of pictures that PIL draws."""
import os.path as osp
import textwrap
from functools import lru_cache
from typing import Any, List


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


def wrap(text: str, font: Any, width: float, most: int) -> List[str]:
    """Break a text into at most so many lines of a width in pixels; what is
    too much ends in dots."""
    lines: List[str] = []
    for characters in range(len(text) + 2, 2, -1):
        lines = textwrap.wrap(text, characters, max_lines=most,
                              placeholder=' …', break_on_hyphens=False)
        if all(font.getlength(line) <= width for line in lines):
            break
    return lines
