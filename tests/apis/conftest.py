"""The small world's model."""
import pytest
from helpers import LABELS


@pytest.fixture
def small(small_inferencer):
    """The small world's model with three labels."""
    own = small_inferencer.class_names
    small_inferencer.set_labels(LABELS)
    yield small_inferencer
    small_inferencer.set_labels(own)
