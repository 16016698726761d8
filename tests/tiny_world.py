"""A tiny small world for tests."""
from pathlib import Path

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams


def build_tiny_world(out: Path) -> Path:
    """One clip of each class and split, 32 x 32 pixels; with target set."""
    build(out, WorldParams(train_per_class=1, test_per_class=1, num_stills=3,
                           size=32), workers=1)
    return out
