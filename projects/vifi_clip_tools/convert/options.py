"""What can be converted, and the options of a conversion."""
from dataclasses import dataclass
from typing import Optional

# --source to the layout of its files, and whether its models have QuickGELU
# where no file says so: OpenAI's have it, and all that derive from them.
SOURCES = dict(
    release=('release', True),
    openai=('clip', True),
    open_clip=('clip', False),
    transformers=('transformers', True),
    vifi=('vifi', True))
TARGETS = ('vifi', 'open_clip', 'release')


@dataclass(frozen=True)
class ConvertOptions:
    """What to convert; see ``vifi-clip convert --help``."""
    src: str
    dst: str
    source: str
    target: str
    clip: Optional[str]
    arch: Optional[str]
    drop_prompts: bool
    report: str
    force: bool
