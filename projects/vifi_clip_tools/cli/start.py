"""How commands start: the command line first, what is heavy after it.

``projects.vifi_clip`` fills MMAction2's registries when it is imported, which
takes seconds. A command's options are read before that, so that ``--help``
and a wrong option answer at once. So the modules in ``apis`` import at their
top only what is light; torch, MMEngine and the rest of the package come in
their functions.
"""
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from .commands import COMMANDS, Command
from .exit_codes import WRONG_INPUT, guarded

# The package beside this one, whatever else is installed.
ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'projects.vifi_clip'
# Where one of these is missing, so is the environment.
NEEDED = ('torch', 'mmengine', 'mmaction', 'open_clip', 'cv2')


def bare(name: str) -> ModuleType:
    """Make a package importable whose ``__init__`` has not run yet.

    Args:
        name (str): Its full name.

    Returns:
        ModuleType: The package; ``module.__spec__.loader.exec_module(module)``
        runs the ``__init__`` that was left out. One that has been imported
        already is returned as it is.
    """
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, ROOT.joinpath(*name.split('.'), '__init__.py'))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        parent, _, child = name.rpartition('.')
        setattr(importlib.import_module(parent), child, sys.modules[name])
    return sys.modules[name]


def start(name: str) -> int:
    """Run a command with the options in ``sys.argv``.

    Args:
        name (str): One of :data:`COMMANDS`.

    Returns:
        int: Exit code; see ``exit_codes``.
    """
    command = COMMANDS[name]
    return guarded(lambda: _alone(command) if command.alone else
                   _with_package(command))


def _alone(command: Command) -> int:
    for package in PACKAGE, f'{PACKAGE}.datasets':
        bare(package)  # their __init__ would take longer than the work
    return importlib.import_module(f'{PACKAGE}.{command.module}').main()


def _with_package(command: Command) -> int:
    package = bare(PACKAGE)
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        print(f'error: {sys.executable} has no {", ".join(missing)}. '
              + _how_to_install(), file=sys.stderr)
        return WRONG_INPUT
    api = importlib.import_module(f'{PACKAGE}.{command.module}')
    api.parse_args()  # leaves here for --help, or with a wrong option
    importlib.import_module(f'{PACKAGE}.apis.environment').prepare()
    if command.fill and not hasattr(package, '__all__'):  # its last line
        package.__spec__.loader.exec_module(package)
    launch = importlib.import_module(f'{PACKAGE}.apis.launch')
    return launch.run_main(api.main)


def _how_to_install() -> str:
    if not (ROOT / 'setup.cfg').is_file():
        return 'Install what vifi_clip needs: pip install vifi_clip'
    return ('Activate the environment that you installed into, e.g. source '
            f'{ROOT}/.venv/bin/activate, or install: pip install -c '
            'constraints.txt -e . (bash tools/quickstart.sh does both)')
