"""The small world's model, loaded once, and clips that it knows."""
import pytest

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.demo.examples import write_examples
from projects.vifi_clip_tools.demo.limits import Limits
from projects.vifi_clip_tools.demo.service import Recogniser


@pytest.fixture(scope='package')
def inferencer():
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture
def recogniser(inferencer):
    found = Recogniser(inferencer, Limits(seconds=60))
    yield found
    found.close()


@pytest.fixture(scope='package')
def examples(tmp_path_factory):
    """Path of each example by its name."""
    folder = tmp_path_factory.mktemp('examples')
    return {e.name: e.path for e in write_examples(str(folder))}
