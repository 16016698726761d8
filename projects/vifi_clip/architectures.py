"""Architectures as data: OpenCLIP's names and dicts, and their tokenizers."""
import copy
import difflib
import os.path as osp
from contextlib import nullcontext
from pathlib import Path
from typing import Callable, Optional, Union

import open_clip
from mmengine.config import ConfigDict
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from .files import read_json
from .network import hub_or_cache

Arch = Union[str, dict]
# Architectures of weights that ship with the package, beside OpenCLIP's.
open_clip.add_model_config(Path(__file__).parent / 'assets/small_world.json')


def get_arch_cfg(arch: Arch) -> dict:
    """Return an architecture as data: a fresh copy with ``embed_dim``,
    ``vision_cfg`` and ``text_cfg``.

    ``arch`` is an OpenCLIP model name (``open_clip.list_models()``), a dict
    of the shape of OpenCLIP's ``model_configs/*.json``, or the path of such a
    file. ValueError if the name is unknown, or one of the three keys absent.
    """
    if isinstance(arch, str) and arch.endswith('.json'):
        arch = read_json(Path(arch))
    if isinstance(arch, str):
        cfg = open_clip.get_model_config(arch)
        if cfg is None:
            near = difflib.get_close_matches(arch, open_clip.list_models())
            raise ValueError(
                f'Unknown arch {arch!r} (close: {", ".join(near) or "none"}); '
                'use one of open_clip.list_models(), or a dict like theirs.')
        return copy.deepcopy(cfg)
    if not isinstance(arch, dict):
        raise ValueError(f'arch must be an OpenCLIP model name or a dict, got '
                         f'{type(arch).__name__}: {arch!r}')
    missing = {'embed_dim', 'vision_cfg', 'text_cfg'}.difference(arch)
    if missing:
        raise ValueError(f'arch dict lacks {sorted(missing)}, which '
                         'OpenCLIP\'s model_configs/*.json have')
    cfg = arch.to_dict() if isinstance(arch, ConfigDict) else arch
    return copy.deepcopy(dict(cfg))


def build_tokenizer(arch: Arch, tokenizer: Optional[str] = None) -> Callable:
    """Build an architecture's tokenizer: CLIP's, the Hugging Face tokenizer
    that it names, or another by the folder or hub name ``tokenizer``
    (ValueError if that cannot be loaded)."""
    text = get_arch_cfg(arch)['text_cfg']
    length = text.get('context_length', 77)
    name = tokenizer or text.get('hf_tokenizer_name')
    if not name:
        return SimpleTokenizer(context_length=length)
    try:
        # The folder of a tokenizer, and a .json of an architecture, are data.
        settings = dict(text.get('tokenizer_kwargs') or {},
                        trust_remote_code=False)
        with nullcontext() if osp.isdir(name) else hub_or_cache():
            return HFTokenizer(name, context_length=length,
                               tokenizer_mode=text.get('tokenizer_mode'),
                               **settings)
    except Exception as error:  # transformers raises many kinds
        raise ValueError(f'Cannot load the tokenizer {name!r} of {arch!r}: '
                         f'{error}; give tokenizer=<its folder>.') from error


def check_prompt(tokenizer: Callable, sentence: str, name: str,
                 context: int) -> None:
    """Refuse a sentence of the class ``name`` that has more tokens than the
    context (ValueError), which the tokenizer would cut off."""
    if isinstance(tokenizer, HFTokenizer):
        length = len(
            tokenizer.tokenizer(tokenizer.clean_fn(sentence)).input_ids)
    else:
        length = len(tokenizer.encode(sentence)) + 2  # start and end of text
    if length > context:
        raise ValueError(f'The prompt of class {name!r} has {length} tokens, '
                         f'more than the context of {context}: shorten it: '
                         f'{sentence!r}')
