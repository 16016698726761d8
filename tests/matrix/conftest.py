"""An environment without knobs."""
import pytest
from matrix_world import clear_knobs


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    clear_knobs(monkeypatch)
