"""How the tools start: the command line first, what is heavy after it.

``projects.vifi_clip`` fills MMAction2's registries when it is imported, which
takes seconds. A tool's options are read before that, so that ``--help`` and a
wrong option answer at once. So the modules in ``apis`` import at their top
only what is light; torch, MMEngine and the rest of the package come in their
functions.
"""
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

# Runs from a checkout without an installation, from any directory.
ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'projects.vifi_clip'
# Where one of these is missing, so is the environment.
NEEDED = ('torch', 'mmengine', 'mmaction', 'open_clip', 'cv2')


def bare(name: str) -> ModuleType:
    """Make a package importable whose ``__init__`` has not run yet.

    Args:
        name (str): Its full name.

    Returns:
        ModuleType: The package; ``module.__spec__.loader.exec_module(module)``
        runs the ``__init__`` that was left out.
    """
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    if name not in sys.modules:
        # in this checkout, whatever else is installed
        spec = importlib.util.spec_from_file_location(
            name, ROOT.joinpath(*name.split('.'), '__init__.py'))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        parent, _, child = name.rpartition('.')
        setattr(importlib.import_module(parent), child, sys.modules[name])
    return sys.modules[name]


def start(tool: str, fill: bool = True) -> int:
    """Run a tool.

    Args:
        tool (str): Module of ``projects.vifi_clip.apis``, with ``parse_args``
            and ``main``.
        fill (bool): It needs the registries. Defaults to True.

    Returns:
        int: Exit code.
    """
    package = bare(PACKAGE)
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        print(f'error: {sys.executable} has no {", ".join(missing)}. Activate '
              'the environment that you installed into, e.g. source '
              f'{ROOT}/.venv/bin/activate, or install: pip install -c '
              'constraints.txt -e . (bash tools/quickstart.sh does both)',
              file=sys.stderr)
        return 2
    api = importlib.import_module(f'{PACKAGE}.apis.{tool}')
    api.parse_args()  # leaves here for --help, or with a wrong option
    importlib.import_module(f'{PACKAGE}.apis.environment').prepare()
    if fill:
        package.__spec__.loader.exec_module(package)
    launch = importlib.import_module(f'{PACKAGE}.apis.launch')
    return launch.run_main(api.main)
