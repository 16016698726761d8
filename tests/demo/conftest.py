"""The small world's model, loaded once, and clips that it knows."""
import pytest

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.demo.examples import write_examples
from projects.vifi_clip_tools.demo.service import Recogniser


@pytest.fixture(scope='package')
def inferencer():
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture
def recogniser(inferencer):
    recogniser = Recogniser(inferencer)
    yield recogniser
    recogniser.close()


@pytest.fixture(scope='package')
def examples(tmp_path_factory):
    """Path of each example by its name."""
    return write_examples(str(tmp_path_factory.mktemp('examples')))
