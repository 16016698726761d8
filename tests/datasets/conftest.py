"""Everything here builds transforms and data sets by MMAction2's names."""
import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')
