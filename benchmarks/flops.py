"""FLOP of a case, counted by PyTorch on towers without data.

As 2 for each multiply-add, where the paper's 281 GFLOPs of a view of 16
frames count 1.
"""
from collections import Counter
from functools import lru_cache
from typing import Callable, Optional

import torch
from torch.utils.flop_counter import FlopCounterMode

from .cases import Case


@lru_cache(maxsize=None)
def _counter(arch: str):
    """Functions that count one frame and one sentence of some length."""
    import ast

    from projects.vifi_clip.architectures import get_arch_cfg
    from projects.vifi_clip.models.towers import (build_text_tower,
                                                  build_vision_tower)
    arch = get_arch_cfg(ast.literal_eval(arch))
    with torch.device('meta'):
        visual, text = build_vision_tower(arch), build_text_tower(arch)
    embed_dim = arch['embed_dim']
    size = visual.image_size
    size = size if isinstance(size, (tuple, list)) else (size, size)

    @lru_cache(maxsize=None)
    def frame() -> int:
        return _count(visual, torch.empty(1, 3, *size, device='meta'))

    @lru_cache(maxsize=None)
    def sentence(length: int) -> int:
        x = torch.empty(1, length, text.width, device='meta')
        return _count(text.transformer, x) + 2 * text.width * embed_dim

    return frame, sentence, text.context_length


def _count(tower, x) -> int:
    return count(lambda: tower.train()(x))


def count(call: Callable[[], object]) -> int:
    """FLOP of the products in a call: linear layers, convolutions and
    attention, forward, 2 for each multiply-add.

    Args:
        call (Callable): On any device; 'meta' counts without computing.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    # In eval mode nn.MultiheadAttention is one operator that is not counted.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


def work_of(case: Case) -> Optional[int]:
    """FLOP that the case's mathematics asks for: of the whole towers, each
    sentence to its own end (the plain computation: all 77 tokens), and three
    times the forward pass where a tower trains.

    Args:
        case (Case): Any; None is returned for towers that are not ours.
    """
    if case.subject == 'xclip' or case.tune == 'prompts':
        return None
    frame, sentence, context = _counter(repr(case.arch))
    image = case.batch * case.frames * frame()
    image *= 12 if case.work == 'file' else 1
    if case.work == 'step':
        image *= case.accumulate * _passes(case, 'image')
    if case.subject in ('encoder', 'mmaction2'):
        return image
    if case.subject == 'plain':
        return image + (case.classes * sentence(context) * case.accumulate
                        * _passes(case, 'text'))
    if case.work != 'step' or case.tune == 'image':
        return image  # class embeddings are there already
    times = 1 if case.once else case.accumulate
    lengths = Counter(prompt_lengths(case))
    text = sum(sentence(length) * num for length, num in lengths.items())
    return image + 3 * times * text


def _passes(case: Case, side: str) -> int:
    trains = case.work == 'step' and case.tune in ('both', side)
    return 3 if trains else 1


def prompt_lengths(case: Case) -> list:
    """Tokens of each prompt of a case, start and end included."""
    import open_clip

    from .inputs import class_names
    tokenizer = open_clip.get_tokenizer('ViT-B-16')
    return [
        len(tokenizer.encode(f'a photo of a {name}.')) + 2
        for name in class_names(case.classes)
    ]
