"""Command lines that are declared: a dataclass whose fields are the options.

    @dataclass(frozen=True, kw_only=True)
    class Options:
        videos: List[str] = argument(nargs='+', help='files or folders')
        topk: int = option(type=positive_int, default=5, help='labels shown')
        model: ModelOptions = part(ModelOptions)

    parse_args = reader(Options, 'Recognise videos.')

Imports nothing heavy: a command's options are read before torch is imported.
"""
import argparse
import sys
from copy import copy
from dataclasses import MISSING, field, fields
from typing import (Any, Callable, Dict, NamedTuple, NoReturn, Optional,
                    Sequence, Type, TypeVar)

from .terminal import shortened

Options = TypeVar('Options')


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep examples as they are written, and fill a text of one line.

    argparse's own formatters do either to both of description and epilog.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if '\n' in text.strip():
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


class DictAction(argparse.Action):
    """MMEngine's DictAction, imported when there is something to read."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from mmengine.config import DictAction
        real = DictAction(self.option_strings, self.dest, nargs=self.nargs)
        try:
            real(parser, namespace, values, option_string)
        except (ValueError, AssertionError, RecursionError) as error:
            raise argparse.ArgumentError(
                self, f'takes KEY=VALUE, got {values} ({error})') from error


class _Parser(argparse.ArgumentParser):

    def error(self, message: str) -> NoReturn:
        super().error(shortened(message))


def number(kind: Callable, low: float, high: float = 10**9,
           open_low: bool = False) -> Callable[[str], Any]:
    """Make an argparse type: ``int`` or ``float`` from ``low`` to ``high``.

    ``low`` itself is refused with ``open_low``. Where the type raises,
    argparse names the option and ends with exit code 2.
    """
    kinds = 'a whole number' if kind is int else 'a number'
    kinds += f' {"above" if open_low else "of at least"} {low:.10g}'

    def read_number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = float('nan')
        if (low < value if open_low else low <= value) and value <= high:
            return value
        raise argparse.ArgumentTypeError(
            f'takes {kinds} and at most {high:.10g}, got {text!r}')

    return read_number


positive_int = number(int, 1, 10**6)
natural_int = number(int, 0, 10**9)
random_seed = number(int, 0, 2**32 - 1)  # numpy's
process_count = number(int, 1, 256)  # as many as are asked for are started
probability = number(float, 0, 1)
seconds = number(float, 0.001, 10**9)  # a frame lasts no less


class Group(NamedTuple):
    """A heading of ``--help``. Of the options of an exclusive group at most
    one can be given, and with ``required`` one must be."""

    title: Optional[str] = None
    description: Optional[str] = None
    exclusive: bool = False
    required: bool = False

    def add_to(self, parser: argparse.ArgumentParser) -> Any:
        """Return what the group's options are added to."""
        group: Any = parser
        if self.title:
            group = parser.add_argument_group(self.title, self.description)
        if self.exclusive:
            group = group.add_mutually_exclusive_group(required=self.required)
        return group


def option(*flags: str, group: Group = Group(), **settings: Any) -> Any:
    """Declare a field of an options class that is given as ``--name VALUE``.

    Args:
        flags (str): Names of the option; without a long one it has the
            field's, as ``--batch-size`` for ``batch_size``.
        group (Group): Its heading. Defaults to argparse's own.
        settings: Of ``argparse.ArgumentParser.add_argument``. The field's
            default is that of the option.
    """
    default = settings.get('default')
    if settings.get('action') in ('store_true', 'store_false'):
        default = settings['action'] == 'store_false'
    return _declare(MISSING if settings.get('required') else default,
                    flags=flags, group=group, settings=settings)


def argument(**settings: Any) -> Any:
    """Declare a field that is given by its place on the command line, with
    settings of ``argparse.ArgumentParser.add_argument``."""
    return _declare([] if settings.get('nargs') == '*' else MISSING,
                    flags=None, group=Group(), settings=settings)


def part(kind: type, **changes: Any) -> Any:
    """Declare a field that holds further options: those of the class
    ``kind``, of which ``changes`` declares some anew by their names."""

    def default() -> Any:
        return kind(**{name: declared.default_factory()
                       for name, declared in changes.items()})

    return field(default_factory=default,
                 metadata=dict(part=kind, changes=changes))


def reader(kind: Type[Options], description: str,
           epilog: Optional[str] = None, **settings: Any
           ) -> Callable[[Optional[Sequence[str]]], Options]:
    """Return the function that reads a command line into an options class.

    It takes the words (default: those of the process). ``--help``, and what
    the class's own checks raise as ValueError, end the process as argparse
    does. ``settings`` are of ``ArgumentParser``.
    """

    def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
        parser = _Parser(
            description=description, epilog=epilog,
            formatter_class=HelpFormatter, **settings)
        _add(parser, kind, {}, {Group(): parser})
        args = parser.parse_args(argv)
        for word in sys.argv[1:] if argv is None else argv:
            if word.startswith('--') and word.endswith('=--'):
                # argparse would take it for an empty list
                parser.error(f'{word}: -- is no value')
        try:
            return _collect(kind, args)
        except ValueError as error:
            parser.error(str(error))

    return parse_args


def _declare(default: Any, **metadata: Any) -> Any:
    if default is MISSING:
        return field(metadata=metadata)
    return field(default_factory=lambda: copy(default), metadata=metadata)


def _add(parser: argparse.ArgumentParser, kind: type,
         changes: Dict[str, Any], groups: Dict[Group, Any]) -> None:
    for item in fields(kind):
        declared = changes.get(item.name, item).metadata
        if 'part' in declared:
            _add(parser, declared['part'], declared['changes'], groups)
            continue
        group, flags = declared['group'], declared['flags']
        if group not in groups:
            groups[group] = group.add_to(parser)
        if flags is None:
            groups[group].add_argument(item.name, **declared['settings'])
            continue
        if not any(flag.startswith('--') for flag in flags):
            flags = ('--' + item.name.replace('_', '-'), *flags)
        groups[group].add_argument(*flags, dest=item.name,
                                   **declared['settings'])


def _collect(kind: Type[Options], args: argparse.Namespace) -> Options:
    return kind(**{
        item.name: _collect(item.metadata['part'], args)
        if 'part' in item.metadata else copy(getattr(args, item.name))
        for item in fields(kind)})
