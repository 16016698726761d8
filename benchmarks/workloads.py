"""What is measured, who does it, and how many operations that asks for.

Letters: B videos, V views, T frames of a view, C classes.
"""
from collections import Counter
from dataclasses import dataclass, replace
from typing import List, Optional

BASELINE = 'plain'


@dataclass(frozen=True)
class Case:
    """One subject (see ``report.py``) at one piece of work: a ``view`` in
    memory to scores, a video ``file`` to scores of 4x3 views, or a whole
    optimizer ``step``."""
    subject: str
    work: str = 'view'
    batch: int = 1  # B of a forward pass
    frames: int = 16  # T
    classes: int = 400  # C
    tune: Optional[str] = 'both'  # as the recognizer's; None: the method's
    method: Optional[str] = None  # METHOD of the configs
    precision: str = 'fp32'  # or bf16 (autocast), pure-bf16
    accumulate: int = 1  # micro-batches of an optimizer step
    once: bool = True  # classes are encoded once per optimizer step
    arch: object = 'ViT-B-16-quickgelu'  # OpenCLIP's name, or a dict
    repeats: Optional[int] = None  # timed runs; None: the command line's
    warmup: bool = True  # one run before, untimed

    @property
    def name(self) -> str:
        """Subject and what sets it apart within a workload."""
        subject = f'METHOD={self.method}' if self.method else self.subject
        name = f'{subject} {self.precision}'
        return name if self.once else f'{name}, classes every micro-batch'


@dataclass
class Workload:
    """Cases that do the same work, ours first, to be compared."""
    key: str  # for the command line
    title: str
    cases: List[Case]
    # The cases follow each other in place of taking turns, since their
    # memory would not fit side by side.
    apart: bool = False
    baseline: str = f'{BASELINE} fp32'  # the case that others are set against


def _versus(key: str, title: str, case: Case, *others: str,
            apart: bool = False) -> Workload:
    """Put others, 'subject' or 'subject precision', beside ours."""
    cases = [case]
    for other in others:
        subject, _, precision = other.partition(' ')
        cases.append(replace(case, subject=subject,
                             precision=precision or case.precision))
    return Workload(key, title, cases, apart)


def all_workloads(arch, quick: bool = False) -> List[Workload]:
    """List the workloads of docs/performance.md, or two minutes' worth."""
    from projects.vifi_clip.architectures import get_arch_cfg
    view = Case('vifi', arch=arch)
    step = Case('vifi', 'step', frames=8, arch=arch)
    if quick:
        return [
            _versus('view', 'one view, 16 frames, 400 classes', view,
                    'vifi bf16', 'encoder', 'plain'),
            _versus('step-51c', 'training step, 1 x 8 frames, 51 classes',
                    replace(step, classes=51, repeats=1), 'plain')]
    many = _versus('view-4000c', 'one view, 16 frames, 4,000 classes',
                   replace(view, classes=4000), apart=True)
    # 24 TFLOP of text for each view: once, and not warmed up
    many.cases.append(replace(view, subject='plain', classes=4000, repeats=1,
                              warmup=False))
    eight = replace(step, accumulate=8, repeats=1)
    shallow = dict(get_arch_cfg(arch))  # for very many classes
    for part in 'vision_cfg', 'text_cfg':
        shallow[part] = dict(shallow[part], layers=2)
    title = 'training step, 1 x 8 frames, 400 classes, tune={}'.format
    return [
        _versus('view', 'one view, 16 frames, 400 classes', view,
                'vifi bf16', 'vifi pure-bf16', 'encoder', 'encoder bf16',
                'encoder pure-bf16', 'plain', 'plain bf16', 'mmaction2',
                'xclip'),
        *(_versus(f'view-{t}f', f'one view, {t} frames, 400 classes',
                  replace(view, frames=t), 'plain') for t in (8, 32)),
        _versus('view-b4', '4 views of 16 frames, 400 classes',
                replace(view, batch=4), 'plain'),
        _versus('view-51c', 'one view, 16 frames, 51 classes',
                replace(view, classes=51), 'plain'),
        many,
        _versus('view-40000c', 'one view, 16 frames, 40,000 classes',
                replace(view, classes=40000)),
        _versus('file', 'a video file to scores, 4x3 views of 16 frames, 400 '
                'classes', replace(view, work='file', repeats=2), 'plain'),
        # apart, for plain takes 18 to 23 GiB
        *(_versus(f'step-{tune}', title(tune),
                  replace(step, tune=tune, repeats=2),
                  *(['vifi bf16'] if tune == 'both' else []), 'plain',
                  apart=True) for tune in ('both', 'image', 'text')),
        _versus('step-prompts', title('prompts (10 in each of 12 layers)'),
                replace(step, tune='prompts'), 'vifi bf16'),
        Workload('accumulate', 'optimizer step of 8 micro-batches, 1 x 8 '
                 'frames, 400 classes',
                 [eight, replace(eight, once=False),
                  replace(eight, tune='image')]),
        *_methods(view, step),
        Workload('step-classes', 'training step, 1 x 8 frames, towers of 2 '
                 'layers', [replace(step, arch=shallow, classes=c, repeats=1)
                            for c in (400, 4000, 40000)])
    ]


def _methods(view: Case, step: Case) -> List[Workload]:
    """Put the systems of the paper's Tables 6 and 9 beside ViFi-CLIP."""
    def beside(case: Case) -> List[Case]:
        return [case, *(replace(case, method=method, tune=None)
                        for method in ('actionclip', 'xclip', 'a5'))]

    view = replace(view, classes=51)
    # A loss over the batch needs two videos.
    step = replace(step, batch=2, frames=4, classes=51)
    return [
        Workload('methods', 'the methods, one view, 16 frames, 51 classes',
                 [*beside(view), replace(view, tune='prompts')],
                 baseline='vifi fp32'),
        Workload('methods-step', 'the methods, training step, 2 x 4 frames, '
                 '51 classes', beside(step), baseline='vifi fp32')]


def class_names(num: int) -> List[str]:
    """Return names of HMDB-51's or Kinetics-400's classes, numbered where
    there are not as many."""
    from projects.vifi_clip.datasets import read_class_list
    from projects.vifi_clip_configs.shipped import root
    folder = root() / 'data_splits' / ('hmdb51' if num <= 51 else 'k400')
    names = read_class_list(folder / 'classes.txt')
    if num <= len(names):
        return names[:num]
    return [f'{names[i % len(names)]} {i // len(names)}' for i in range(num)]


def flop_of(case: Case) -> Optional[int]:
    """Count the FLOP that a case's mathematics asks for: of whole towers,
    each sentence to its own end (plain: all 77 tokens), and three times the
    forward pass where a tower trains. None for towers that are not ours, or
    not plain."""
    import open_clip
    import torch

    from projects.vifi_clip.architectures import get_arch_cfg
    from projects.vifi_clip.models.towers import (build_text_tower,
                                                  build_vision_tower)
    from projects.vifi_clip_tools.complexity.count import count
    if case.subject == 'xclip' or case.tune == 'prompts' or case.method:
        return None
    arch = get_arch_cfg(case.arch)
    with torch.device('meta'):
        visual, text = build_vision_tower(arch), build_text_tower(arch)
    size = arch['vision_cfg']['image_size']
    frame = torch.empty(1, 3, size, size, device='meta')
    flop = count(lambda: visual.train()(frame)) * case.batch * case.frames
    flop *= 12 if case.work == 'file' else 1
    flop *= case.accumulate * _passes(case, 'image')
    lengths, times = {}, 0  # sentences by length; passes of each
    if case.subject == 'plain':
        lengths = {text.context_length: case.classes}
        times = case.accumulate * _passes(case, 'text')
    elif case.subject == 'vifi' and _passes(case, 'text') > 1:
        encode = open_clip.get_tokenizer('ViT-B-16').encode
        lengths = Counter(len(encode(f'a photo of a {name}.')) + 2
                          for name in class_names(case.classes))
        times = 3 * (1 if case.once else case.accumulate)
    for length, num in lengths.items():
        tokens = torch.empty(1, length, text.width, device='meta')
        flop += times * num * (
            count(lambda: text.transformer.train()(tokens))
            + 2 * text.width * arch['embed_dim'])
    return flop


def _passes(case: Case, side: str) -> int:
    trains = case.work == 'step' and case.tune in ('both', side)
    return 3 if trains else 1
