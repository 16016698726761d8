"""Libraries that only some commands need."""
import importlib
from types import ModuleType

from .errors import UserError


def need(module: str, extra: str) -> ModuleType:
    """Import a library of an optional extra.

    Args:
        module (str): What to import, such as 'sklearn.cluster'.
        extra (str): The extra of setup.cfg that installs it.

    Returns:
        ModuleType: The module.

    Raises:
        UserError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition('.')[0]):
            raise  # installed, and lacks something of its own
        raise UserError(
            f'{error.name} is not installed: pip install '
            f'"vifi_clip[{extra}]" (in a checkout: pip install -c '
            f'constraints.txt -e ".[{extra}]")') from error
