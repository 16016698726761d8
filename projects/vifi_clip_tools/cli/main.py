"""The first word of the command line."""
import difflib
import importlib
import sys
from typing import Dict, List, Optional, Sequence

from .commands import COMMANDS
from .exit_codes import EXPLAINED, WRONG_INPUT, guarded
from .start import PACKAGE, bare, start

_HEAD = """\
usage: vifi-clip COMMAND [options]
       vifi-clip COMMAND --help

Fine-tune CLIP on videos; recognise, explain, search and export with it.
"""
_TAIL = """
options
  -h, --help    this text; after a command, that command's options
  --version     the version
  --root        the folder of configs/, tools/ and data_splits/

examples
  vifi-clip predict videos/ --labels "arm wrestling, playing cards"
  vifi-clip demo --config small_world
  vifi-clip train vifi_k400
  vifi-clip test vifi_k400 work_dirs/vifi_k400/epoch_30.pth --single-view
  bash "$(vifi-clip --root)/tools/dist_train.sh" vifi_k400 8

A config is a file, or the name of one in configs/. Knobs of configs are set
in the environment: SHOTS=4 vifi-clip train vifi_few_shot

exit codes
"""


def usage() -> str:
    """What ``vifi-clip --help`` prints; 80 columns suffice."""
    groups: Dict[str, List[str]] = {}
    for name, command in COMMANDS.items():
        groups.setdefault(command.group, []).append(
            f'  {name:<14}{command.summary}')
    parts = [f'\n{group}\n' + '\n'.join(lines) + '\n'
             for group, lines in groups.items()]
    return _HEAD + ''.join(parts) + _TAIL + EXPLAINED


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run ``vifi-clip``.

    Args:
        argv (Sequence[str], optional): Defaults to ``sys.argv[1:]``.

    Returns:
        int: Exit code; see ``exit_codes``.
    """
    first, *rest = list(sys.argv[1:] if argv is None else argv) or ['--help']
    if first in COMMANDS:
        # argparse names the program by it, and reads the rest
        sys.argv = [f'vifi-clip {first}', *rest]
        return start(first)
    return guarded(lambda: _answer(first))


def _answer(word: str) -> int:
    """To what is no command."""
    if word in ('-h', '--help'):
        print(usage())
    elif word == '--version':
        bare(PACKAGE)
        version = importlib.import_module(f'{PACKAGE}.version')
        print(f'vifi-clip {version.__version__}')
    elif word == '--root':
        bare(PACKAGE)
        print(importlib.import_module(f'{PACKAGE}.resources').root())
    else:
        near = difflib.get_close_matches(word.replace('_', '-'), COMMANDS, 1)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        print(f'error: there is no command {word!r}; {hint}'
              'vifi-clip --help lists them', file=sys.stderr)
        return WRONG_INPUT
    return 0
