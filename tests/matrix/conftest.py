"""An environment without knobs."""
from pathlib import Path

import pytest

from projects.vifi_clip.apis.knobs import read_knobs

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    for path in CONFIGS.glob('*.py'):
        for name in read_knobs(str(path)):
            monkeypatch.delenv(name, raising=False)
