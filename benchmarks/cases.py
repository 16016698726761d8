"""What is measured: workloads, and who does them.

Letters: B videos, V views, T frames of a view, C classes.
"""
from dataclasses import dataclass, field, replace
from typing import List, Optional

BASELINE = 'plain'


@dataclass(frozen=True)
class Case:
    """One subject at one piece of work.

    Attributes:
        subject (str): ``vifi`` (ours), ``plain`` (see ``plain.py``),
            ``mmaction2`` (Recognizer2D and TSNHead over OpenCLIP's tower: no
            text at all), ``xclip`` (transformers' XCLIPModel of the same
            size) or ``encoder`` (the image tower alone).
        work (str): ``view`` (scores of views in memory), ``file`` (a video
            file to scores of 4x3 views), ``step`` (a whole optimizer step,
            ``accumulate`` micro-batches long).
        batch (int): B of a forward pass.
        frames (int): T.
        classes (int): C.
        tune (str): As the recognizer's, for ``step``.
        precision (str): ``fp32``, ``bf16`` (autocast) or ``pure-bf16``.
        accumulate (int): Micro-batches of an optimizer step.
        once (bool): Encode classes once per optimizer step.
        arch (str | dict): OpenCLIP's name or architecture.
    """
    subject: str
    work: str = 'view'
    batch: int = 1
    frames: int = 16
    classes: int = 400
    tune: str = 'both'
    precision: str = 'fp32'
    accumulate: int = 1
    once: bool = True
    arch: object = 'ViT-B-16-quickgelu'
    repeats: Optional[int] = None
    warmup: bool = True

    @property
    def name(self) -> str:
        """Subject and what sets it apart within a workload."""
        name = f'{self.subject} {self.precision}'
        return name if self.once else f'{name}, classes every micro-batch'


@dataclass
class Workload:
    """Cases that do the same work, to be compared with each other.

    Attributes:
        key (str): For the command line.
        title (str): For people.
        cases (list[Case]): Ours first.
        apart (bool): The cases follow each other in place of taking turns,
            since their memory would not fit side by side.
    """
    key: str
    title: str
    cases: List[Case] = field(default_factory=list)
    apart: bool = False


def _versus(key: str, title: str, case: Case, *others: str) -> Workload:
    """Ours and others, given as 'subject' or 'subject precision'."""
    cases = [case]
    for other in others:
        subject, _, precision = other.partition(' ')
        cases.append(
            replace(case, subject=subject,
                    precision=precision or case.precision))
    return Workload(key, title, cases)


def _views(arch) -> List[Workload]:
    """Evaluation of views that are in memory."""
    view = Case('vifi', arch=arch)
    first = _versus(
        'view', 'one view, 16 frames, 400 classes', view, 'vifi bf16',
        'vifi pure-bf16', 'encoder', 'encoder bf16', 'encoder pure-bf16',
        'plain', 'plain bf16', 'mmaction2', 'xclip')
    rest = [
        _versus(f'view-{t}f', f'one view, {t} frames, 400 classes',
                replace(view, frames=t), 'plain') for t in (8, 32)
    ]
    rest += [
        _versus(f'view-b{b}', f'{b} views of 16 frames, 400 classes',
                replace(view, batch=b), 'plain') for b in (4, )
    ]
    rest += [
        _versus('view-51c', 'one view, 16 frames, 51 classes',
                replace(view, classes=51), 'plain'),
        _versus('view-4000c', 'one view, 16 frames, 4,000 classes',
                replace(view, classes=4000)),
        _versus('view-40000c', 'one view, 16 frames, 40,000 classes',
                replace(view, classes=40000)),
    ]
    # 24 TFLOP of text for each view: once, and not warmed up
    rest[-2].cases.append(
        replace(view, subject='plain', classes=4000, repeats=1, warmup=False))
    rest[-2].apart = True
    return [first, *rest]


def _steps(arch) -> List[Workload]:
    """Training."""
    step = Case('vifi', 'step', frames=8, arch=arch)
    steps = [
        _versus(f'step-{tune}', f'training step, 1 x 8 frames, 400 classes, '
                f'tune={tune}', replace(step, tune=tune, repeats=2), 'plain')
        for tune in ('both', 'image', 'text')
    ]
    steps[0].cases.insert(1, replace(steps[0].cases[0], precision='bf16'))
    for workload in steps:
        workload.apart = True  # plain: 18 to 23 GiB
    steps.append(
        _versus('step-prompts', 'training step, 1 x 8 frames, 400 classes, '
                'tune=prompts (10 in each of 12 layers)',
                replace(step, tune='prompts'), 'vifi bf16'))
    eight = replace(step, accumulate=8, repeats=1)
    steps.append(
        Workload('accumulate', 'optimizer step of 8 micro-batches, 1 x 8 '
                 'frames, 400 classes', [
                     eight,
                     replace(eight, once=False),
                     replace(eight, tune='image')
                 ]))
    return steps


def _sweeps(arch) -> Workload:
    """Ours alone, for the lines of ``tools/scale_model.py``."""
    base = Case('vifi', 'step', frames=8, arch=arch, repeats=1)
    return Workload(
        'step-sweep', 'training steps, tune=both', [
            base,
            *(replace(base, frames=t) for t in (4, 16)),
            *(replace(base, batch=b) for b in (2, 4)),
            *(replace(base, classes=c) for c in (51, 1600))
        ], apart=True)


def _class_memory(arch) -> Workload:
    """Training with large class sets, on cut-down towers."""
    import open_clip
    small = dict(open_clip.get_model_config(arch)) if isinstance(
        arch, str) else dict(arch)
    small['vision_cfg'] = dict(small['vision_cfg'], layers=2)
    small['text_cfg'] = dict(small['text_cfg'], layers=2)
    base = Case('vifi', 'step', frames=8, arch=small, repeats=1)
    return Workload(
        'step-classes', 'training step, 1 x 8 frames, towers of 2 layers', [
            replace(base, classes=c) for c in (400, 4000, 40000)
        ])


def all_workloads(arch, quick: bool = False) -> List[Workload]:
    """The full list, or the two minutes' one.

    Args:
        arch (str | dict): OpenCLIP's name or architecture.
        quick (bool): Defaults to False.
    """
    file = Case('vifi', 'file', arch=arch)
    views = _views(arch)
    if quick:
        step = Case('vifi', 'step', frames=8, classes=51, arch=arch)
        first = views[0]
        first.cases = [c for c in first.cases if c.name in (
            'vifi fp32', 'vifi bf16', 'plain fp32', 'encoder fp32')]
        return [first, _versus(
            'step-51c', 'training step, 1 x 8 frames, 51 classes',
            replace(step, repeats=1), 'plain')]
    return [
        *views,
        _versus('file', 'a video file to scores, 4x3 views of 16 frames, 400 '
                'classes', replace(file, repeats=2), 'plain'),
        *_steps(arch),
        _sweeps(arch),
        _class_memory(arch)
    ]
