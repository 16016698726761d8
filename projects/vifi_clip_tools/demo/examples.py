"""Clips of the small world to try the page with."""
import os.path as osp
from typing import List, NamedTuple, Tuple

_SIZE = 64  # what the small world's model was trained on
# Of each example the scenes: class, and the draw of the clip.
_SCENES: Tuple[Tuple[str, Tuple[Tuple[str, int], ...]], ...] = (
    ('Blue star', (('blue star blinking', 0), )),
    ('Purple moon', (('purple moon sliding', 0), )),
    ('Three scenes', (('red ring spinning', 0), ('green heart blinking', 0),
                      ('orange cross pulsing', 0))),
)
LABELS = ('a red ring spinning', 'a blue star blinking',
          'a green heart blinking', 'a yellow arrow orbiting',
          'a purple moon sliding', 'a purple moon blinking',
          'an orange cross pulsing')


class Example(NamedTuple):
    """One example.

    Attributes:
        name (str): On its button.
        path (str): A video file.
    """
    name: str
    path: str


def write_examples(folder: str) -> List[Example]:
    """Render the clips.

    Args:
        folder (str): Where to; it exists.
    """
    return [Example(name, _write(osp.join(folder, f'{name}.mp4'), scenes))
            for name, scenes in _SCENES]


def _write(path: str, scenes: Tuple[Tuple[str, int], ...]) -> str:
    import numpy as np

    from ..mini_world.clips import Job, render_clip
    from ..mini_world.clips import write_video
    from ..mini_world.world import VideoClass
    path = path.replace(' ', '_').lower()
    clips = [
        render_clip(Job(f'demo/{name}/{draw}', 0, _SIZE,
                        VideoClass(*name.split())))
        for name, draw in scenes
    ]
    # One rate for all; motions have no natural speed.
    write_video(path, np.concatenate([frames for frames, _ in clips]), 12)
    return path
