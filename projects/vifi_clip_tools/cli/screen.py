"""What a run shows on the screen: the lines that a person reads. Its log file
has all of them, with config, environment, hooks and warnings of libraries."""
from __future__ import annotations

import importlib.abc
import logging
import os
import sys
import sysconfig
import warnings
from contextlib import contextmanager
from typing import Any, Iterator

_PACKAGE = os.sep + 'projects' + os.sep
_LIBRARIES = tuple(sysconfig.get_paths().values())
# Lines of MMEngine about itself.
_ITSELF = ('Using env variable', '"FileClient"', '"HardDiskBackend"',
           'Exp name:', 'Loads checkpoint by', 'Distributed training is not',
           'paramwise_options')


def is_for_people(record: logging.LogRecord) -> bool:
    """Tell whether a message goes to the screen. What has several lines, as
    the config, does not, unless it warns; errors always do."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # its arguments do not fit: logging says
        return True
    if record.levelno >= logging.ERROR:
        return True
    if getattr(record, 'of_file', False) or text.startswith(_ITSELF):
        return False
    return record.levelno >= logging.WARNING or '\n' not in text.strip('\n')


@contextmanager
def only_for_people() -> Iterator[None]:
    """Show of MMEngine's loggers, made meanwhile or before, only what
    :func:`is_for_people`; warnings of libraries go to their files."""
    from mmengine.logging import MMLogger
    build, show = MMLogger.__init__, warnings.showwarning

    def limit(logger: MMLogger) -> None:
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(is_for_people)

    def built(self: MMLogger, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        limit(self)

    def warn(message: Any, category: type, filename: str, line: int,
             *args: Any) -> None:
        if _PACKAGE in filename or os.path.isfile(
                filename) and not filename.startswith(_LIBRARIES):
            # ours, or of the user's own modules
            show(message, category, filename, line, *args)
        else:
            text = warnings.formatwarning(message, category, filename, line)
            MMLogger.get_current_instance().info(text.strip(),
                                                 extra=dict(of_file=True))

    limit(MMLogger.get_current_instance())
    MMLogger.__init__, warnings.showwarning = built, warn
    try:
        yield
    finally:
        MMLogger.__init__, warnings.showwarning = build, show


class SayLoading(importlib.abc.MetaPathFinder):
    """Says that something happens when torch is imported, which takes
    seconds, at a terminal; it finds no module."""

    def find_spec(self, name: str, *_: Any) -> None:
        """Look on."""
        if name == 'torch' and 'torch' not in sys.modules:
            sys.meta_path.remove(self)
            print('loading ...', file=sys.stderr, flush=True)


def say_loading() -> None:
    """Let the first import of torch be said, by one process at a terminal."""
    if sys.stderr.isatty() and os.environ.get('RANK', '0') == '0':
        sys.meta_path.insert(0, SayLoading())
