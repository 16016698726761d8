"""Shared settings: tiny architectures, no network, few threads."""
import os
import signal

import pytest

# A shell's background job ignores SIGINT, and so would the tools that tests
# interrupt; what a process handles itself, its children do not inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No test may wait for a download.
os.environ.setdefault('HF_HUB_OFFLINE', '1')

import torch  # noqa: E402

torch.set_num_threads(1)  # tiny models run faster without a thread pool
from tiny import tiny_arch  # noqa: E402

import projects.vifi_clip  # noqa: E402,F401


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def arch() -> dict:
    """A two-layer ViT CLIP, D = 32, 32 x 32 pixels."""
    return tiny_arch()
