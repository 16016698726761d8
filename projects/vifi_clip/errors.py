"""Errors that the user can mend, and libraries that are not installed."""
import importlib
from types import ModuleType


class UserError(RuntimeError):
    """Something in what the user gave is wrong, and the message says what;
    the commands print it alone, without a traceback."""


class UnreadableVideo(UserError):
    """A video that cannot be fetched, opened or decoded: its ``name``, as the
    user has it, and the ``reason``, without the name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both, so that it can be pickled
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.name} cannot be read: {self.reason}'


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of any library says."""
    return (str(error).strip().splitlines() or ['no message'])[0]


def need(module: str, extra: str) -> ModuleType:
    """Import a library, such as 'sklearn.cluster', of an extra of setup.cfg;
    a UserError says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition('.')[0]):
            raise  # installed, and lacks something of its own
        raise UserError(
            f'{error.name} is not installed: pip install "vifi_clip[{extra}]" '
            f'(in a checkout: -c constraints.txt -e ".[{extra}]")') from error
