"""The small world's model."""
import pytest
from helpers import LABELS

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer


@pytest.fixture(scope='session')
def _loaded() -> ViFiCLIPInferencer:
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture
def small(_loaded) -> ViFiCLIPInferencer:
    """The small world's model with three labels."""
    _loaded.set_labels(LABELS)
    return _loaded
