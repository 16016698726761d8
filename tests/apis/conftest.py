"""The small world's model, and clips whose frames say which they are."""
import numpy as np
import pytest
from helpers import write_mp4
from inference_world import LABELS, coded

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer


@pytest.fixture(scope='session')
def _loaded() -> ViFiCLIPInferencer:
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture
def small(_loaded) -> ViFiCLIPInferencer:
    """The small world's model with three labels."""
    _loaded.set_labels(LABELS)
    return _loaded


@pytest.fixture(scope='session')
def clips(tmp_path_factory):
    """Four clips of 40 frames at 10 frames per second: 64 pixels high, a
    colour each, and the number of the frame."""
    folder = tmp_path_factory.mktemp('clips')
    for i, colour in enumerate([(1., .2, .2), (.2, .2, 1.), (.2, 1., .2),
                                (.6, .5, .1)]):
        frames = [(coded(t) * np.array(colour)).astype(np.uint8)
                  for t in range(40)]
        write_mp4(folder / f'clip_{i}.mp4', frames=frames, fps=10)
    return folder
