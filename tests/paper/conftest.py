"""An environment without knobs, and a folder of runs."""
import pytest
from matrix_world import clear_knobs

from projects.vifi_clip_tools.paper.layout import ROOT, Layout


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    clear_knobs(monkeypatch)
    monkeypatch.chdir(ROOT)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / 'runs'))
