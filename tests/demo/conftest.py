"""The small world's model, loaded once, and clips that it knows."""
import pytest

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.demo.server import write_examples


@pytest.fixture(scope='package')
def inferencer():
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture(scope='package')
def examples(tmp_path_factory):
    """Path of each example by its name."""
    return write_examples(str(tmp_path_factory.mktemp('examples')))
