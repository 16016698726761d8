"""What can be converted, and the options of a conversion."""
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

from ..cli.options import trust
from ..cli.parsing import argument, option

# --source to the layout of its files, and whether its models have QuickGELU
# where no file says so: OpenAI's have it, and all that derive from them.
SOURCES = dict(
    release=('release', True),
    openai=('clip', True),
    open_clip=('clip', False),
    transformers=('transformers', True),
    xclip=('xclip', True),
    actionclip=('actionclip', True),
    efficient_prompting=('efficient_prompting', True),
    open_vclip=('clip', True),
    froster=('clip', True),
    tc_clip=('tc_clip', True),
    vifi=('vifi', True))
TARGETS = ('vifi', 'open_clip', 'release', 'xclip', 'transformers')


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """The command line of ``vifi-clip convert``."""

    src: str = argument(help='file to read (for transformers, or a folder)')
    dst: str = argument(help='file to write')
    source: str = option(choices=SOURCES, required=True, help='layout of SRC')
    target: str = option(choices=TARGETS, required=True, help='layout of DST')
    clip: Optional[str] = option(
        metavar='FILE', help='a complete CLIP, in any layout, for the weights '
        'that SRC lacks: the token embeddings of a released file, or what '
        'save_trainable_only left out')
    arch: Optional[str] = option(
        help='OpenCLIP model name, or a .json file like its model_configs '
        '(default: as the file states, or inferred from its shapes)')
    drop_prompts: bool = option(
        action='store_true', help='leave the learnt prompts out, for '
        'OpenCLIP or transformers')
    report: Optional[str] = option(
        metavar='FILE',
        help='file that lists every key (default: DST.report.json)')
    force: bool = option(action='store_true',
                         help='overwrite existing files')
    trust: bool = trust()


def files_beside(dst: str) -> List[Path]:
    """Return the files that may be written beside one for transformers."""
    return [Path(dst).with_name(name) for name in (
        'config.json', 'preprocessor_config.json', 'tokenizer_config.json',
        'vocab.json', 'merges.txt')]
