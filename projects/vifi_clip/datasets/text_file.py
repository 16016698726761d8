"""JSON, YAML and plain text files, with errors that name the place."""
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import yaml


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Args:
        path (Path): File to read.

    Returns:
        str: Its text.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no such file: {path}; correct the path '
                                '(it is taken from the working directory)')
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text ({error}); save it as '
                         'UTF-8') from error


def read_json(path: Path) -> Any:
    """Read a JSON file; a key that is repeated is an error.

    Args:
        path (Path): File to read.

    Returns:
        Any: Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON or repeats a key.
    """

    def unique(pairs):
        return _unique_keys(pairs, str(path))

    try:
        return json.loads(read_text(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}, line {error.lineno}: not valid JSON: '
                         f'{error.msg}') from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that refuses a repeated key instead of dropping one."""

    def construct_mapping(self, node, deep=False):
        mapping = super().construct_mapping(node, deep)
        pairs = [(self.construct_object(key, deep=True), None)
                 for key, _ in node.value]
        mark = node.start_mark
        _unique_keys(pairs, f'{mark.name}, mapping at line {mark.line + 1}')
        return mapping


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain data; a key that is repeated is an error.

    Args:
        path (Path): File to read.

    Returns:
        Any: Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML, not plain data, or repeats a key.
    """
    loader = _UniqueKeyLoader(read_text(path))
    loader.name = str(path)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        raise ValueError(f'{path}{line}: not valid YAML: {error}') from error
    finally:
        loader.dispose()


def _unique_keys(pairs: List[Tuple[Any, Any]], where: str) -> Dict[Any, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'{where}: key {repeated!r} stands there '
                         f'{keys.count(repeated)} times; join them into one')
    return result
