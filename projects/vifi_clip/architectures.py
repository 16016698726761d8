"""Architectures as data: OpenCLIP's names and dicts, and their tokenizers."""
import copy
import difflib
from pathlib import Path
from typing import Callable, Optional, Union

import open_clip
from mmengine.config import ConfigDict
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from .files import read_json

Arch = Union[str, dict]
_REQUIRED = ('embed_dim', 'vision_cfg', 'text_cfg')


def get_arch_cfg(arch: Arch) -> dict:
    """Return an architecture as data.

    Args:
        arch (str | dict): An OpenCLIP model name
            (``open_clip.list_models()``), a dict of the shape of OpenCLIP's
            ``model_configs/*.json``, or the path of such a file.

    Returns:
        dict: A fresh copy with ``embed_dim``, ``vision_cfg``, ``text_cfg``.

    Raises:
        ValueError: Unknown name, or a dict without one of the three keys.
    """
    if isinstance(arch, str) and arch.endswith('.json'):
        try:
            arch = read_json(Path(arch))
        except (OSError, ValueError) as error:
            raise ValueError(f'arch file {arch!r} cannot be read: '
                             f'{error}') from error
    if isinstance(arch, str):
        cfg = open_clip.get_model_config(arch)
        if cfg is None:
            near = difflib.get_close_matches(arch, open_clip.list_models())
            raise ValueError(
                f'Unknown arch {arch!r}. Use one of open_clip.list_models() '
                f'(close: {", ".join(near) or "none"}) or a dict shaped like '
                'OpenCLIP\'s model_configs/*.json.')
        return copy.deepcopy(cfg)
    if not isinstance(arch, dict):
        raise ValueError(f'arch must be an OpenCLIP model name or a dict, got '
                         f'{type(arch).__name__}: {arch!r}')
    missing = [key for key in _REQUIRED if key not in arch]
    if missing:
        raise ValueError(f'arch dict lacks {missing}, which OpenCLIP\'s '
                         f'model_configs/*.json have; it has {sorted(arch)}')
    cfg = arch.to_dict() if isinstance(arch, ConfigDict) else arch
    return copy.deepcopy(dict(cfg))


def build_tokenizer(arch: Arch, tokenizer: Optional[str] = None) -> Callable:
    """Build the architecture's tokenizer.

    Args:
        arch (str | dict): See :func:`get_arch_cfg`.
        tokenizer (str, optional): Folder or hub name of a Hugging Face
            tokenizer, for architectures whose tokenizer is not CLIP's.
            Defaults to None: the one that the architecture names.

    Raises:
        ValueError: The Hugging Face tokenizer cannot be loaded.
    """
    text = get_arch_cfg(arch)['text_cfg']
    length = text.get('context_length', 77)
    name = tokenizer or text.get('hf_tokenizer_name')
    if not name:
        return SimpleTokenizer(context_length=length)
    kwargs = text.get('tokenizer_kwargs') or {}
    try:
        return HFTokenizer(
            name,
            context_length=length,
            tokenizer_mode=text.get('tokenizer_mode'),
            **kwargs)
    except Exception as error:  # transformers raises many kinds
        raise ValueError(
            f'Cannot load the tokenizer {name!r} of arch {arch!r}: {error}. '
            'Install transformers and give tokenizer=<folder with the '
            'tokenizer files>.') from error


def prompt_length(tokenizer: Callable, sentence: str) -> int:
    """Return the number of tokens of a sentence before any truncation."""
    if isinstance(tokenizer, HFTokenizer):
        return len(tokenizer.tokenizer(tokenizer.clean_fn(sentence)).input_ids)
    return len(tokenizer.encode(sentence)) + 2  # start and end of text
