"""Clips of the small world to try the page with."""
import os.path as osp
from typing import Dict

import numpy as np

from ..mini_world.clips import Job, render_clip, write_video
from ..mini_world.world import VideoClass

_SCENES = {
    'Blue star': ('blue star blinking', ),
    'Purple moon': ('purple moon sliding', ),
    'Three scenes': ('red ring spinning', 'green heart blinking',
                     'orange cross pulsing'),
}
LABELS = ('a red ring spinning', 'a blue star blinking',
          'a green heart blinking', 'a yellow arrow orbiting',
          'a purple moon sliding', 'a purple moon blinking',
          'an orange cross pulsing')


def write_examples(folder: str) -> Dict[str, str]:
    """Render the clips into a folder: name of each example to its file."""
    paths = {}
    for name, scenes in _SCENES.items():
        paths[name] = osp.join(folder,
                               f'{name}.mp4'.replace(' ', '_').lower())
        # 64 pixels, which the small world's model was trained on; one rate
        # for all, since motions have no natural speed.
        clips = [render_clip(Job(f'demo/{scene}/0', 0, 64,
                                 VideoClass(*scene.split())))[0]
                 for scene in scenes]
        write_video(paths[name], np.concatenate(clips), 12)
    return paths
