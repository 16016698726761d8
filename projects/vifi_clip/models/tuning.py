"""Which parameters of a recognizer train, and which modules stay in eval mode.

``tune`` chooses among groups of parameters by what they are; the patterns of a
user, of whole names as ``named_parameters()`` gives them, add to that and take
away.
"""
import difflib
import logging
from fnmatch import fnmatchcase
from typing import Dict, List, Optional, Sequence, Set, Union

from mmengine.logging import print_log
from torch import nn

from .additions.lora import lora_parameters

# What trains by `tune`; the groups are those of parameter_groups.
TRAINED = dict(
    both={'image', 'text', 'other', 'logit_scale'},
    image={'image', 'other'},
    text={'text', 'other'},
    prompts={'prompts', 'other'},
    adapters={'lora', 'other'},
    none=set())
# Where the modules come from that a user did not write.
_LIBRARIES = ('torch', 'torchvision', 'open_clip', 'timm', 'transformers',
              'mmaction', 'mmengine', 'mmcv', 'peft')
_OURS = __name__.removesuffix('.models.tuning')
Patterns = Union[str, Sequence[str]]


class Tuning:
    """What of a model trains. It is set once; a parameter that something else
    freezes later stays frozen.

    Args:
        model (nn.Module): A recognizer, of whose parameters some were
            ``frozen_before``, when its modules were built.
        tune, logit_scale, train_token_embedding, trainable, frozen: As of
            :class:`ViFiCLIP`.

    Raises:
        ValueError: Unknown ``tune``; ``'prompts'`` without any; a pattern
            that matches no parameter.
    """

    def __init__(self, model: nn.Module, tune: str,
                 logit_scale: Optional[bool], train_token_embedding: bool,
                 trainable: Patterns, frozen: Patterns,
                 frozen_before: Sequence[nn.Parameter]) -> None:
        self.tune = tune
        names = {id(p): n for n, p in model.named_parameters()}
        self._groups = {
            group: {names[id(p)] for p in params}
            for group, params in parameter_groups(model).items()}
        if tune == 'prompts' and not self._groups['prompts']:
            raise ValueError("tune='prompts' needs VLDeepPromptBackbone, or "
                             'prompts of the text_classifier.')
        chosen = set(TRAINED[tune])
        if logit_scale is not None:
            (chosen.add if logit_scale else chosen.discard)('logit_scale')
        if train_token_embedding and tune in ('both', 'text'):
            chosen.add('tokens')
        known = list(names.values())
        added = matches('trainable', trainable, known)
        before = {names[id(p)] for p in frozen_before}
        self._by_user = matches('frozen', frozen, known) | (before - added)
        self.trained = (added | {
            name for group in chosen for name in self._groups[group]
        }) - self._by_user
        for name, param in model.named_parameters():
            param.requires_grad_(name in self.trained)

    def keep(self, model: nn.Module) -> None:
        """Keep what does not train from it, and in eval mode, after
        ``model.train()``."""
        for name, param in model.named_parameters():
            if name not in self.trained:
                param.requires_grad_(False)
        head = model.cls_head
        classifier = getattr(head, 'text_classifier', None)
        for part in model.backbone, head:
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()
        if self.tune in ('prompts', 'adapters'):  # inside, or at, the towers
            getattr(model.backbone, 'visual', model.backbone).eval()
            getattr(classifier, 'text', nn.Identity()).eval()
        for name, module in model.named_modules() if self._by_user else ():
            # The text classifier's mode says whether it draws a template.
            if module not in (model, head, classifier) and (
                    _parameters_of(name, module, self._by_user)):
                module.eval()

    def report(self, model: nn.Module) -> None:
        """Log what trains, and modules of the user's own that do not."""
        sizes = {n: p.numel() for n, p in model.named_parameters()}
        listed = {group: sum(sizes[n] for n in names & self.trained)
                  for group, names in self._groups.items()}
        words = ', '.join(f'{k} {n:,}' for k, n in listed.items() if n)
        print_log(f'tune={self.tune!r}: {sum(listed.values()):,} of '
                  f'{sum(sizes.values()):,} parameters train '
                  f'({words or "nothing"})', 'current')
        resting = {} if self.tune == 'none' else _outermost({
            name: type(module).__name__
            for name, module in model.named_modules() if _is_users(module)
            and _parameters_of(name, module, set(sizes) - self.trained)
            and not _parameters_of(name, module, self._by_user)})
        if resting:
            print_log(
                f'tune={self.tune!r} (TUNE) does not train ' +
                ', '.join(f'{kind} ({n})' for n, kind in resting.items()) +
                f': set model.trainable={[f"{name}.*" for name in resting]} '
                'to train it, or model.frozen likewise if that is meant',
                'current', logging.WARNING)


def matches(setting: str, patterns: Patterns, names: Sequence[str]
            ) -> Set[str]:
    """Return the names that match one of some patterns: whole names, in which
    * stands for any characters (as for a shell, but dots too). ValueError for
    one that matches none, or is no text."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, (list, tuple, set)):
        raise ValueError(f'{setting}={patterns!r} of the model must be a list '
                         'of names or patterns; [] for none')
    found: Set[str] = set()
    for pattern in patterns:
        hits = {name for name in names if isinstance(pattern, str)
                and fnmatchcase(name, pattern)}
        if not hits:
            raise ValueError(f'{setting}={pattern!r} of the model matches no '
                             f'parameter{_hint(str(pattern), names)}')
        found |= hits
    return found


def _hint(pattern: str, names: Sequence[str]) -> str:
    """Say what a pattern may be meant to be."""
    if any(name.startswith(f'{pattern}.') for name in names):
        return f': write {pattern + ".*"!r}'
    inside = next((name for name in names if pattern.strip('*') in name), None)
    if inside:
        return f': patterns are of whole names, such as {inside!r}'
    # 'cls_head.tempral.*' is near to 'cls_head.temporal'
    parts = sorted({'.'.join(name.split('.')[:depth]) for name in names
                    for depth in range(1, name.count('.') + 2)})
    near = difflib.get_close_matches(pattern.strip('*.'), parts, 1)
    return f"; did you mean '{near[0]}*'?" if near else (
        f', whose names are such as {names[0]!r} and {names[-1]!r}')


def parameter_groups(model: nn.Module) -> Dict[str, List[nn.Parameter]]:
    """Sort a recognizer's parameters by what they are.

    The groups are ``lora``, ``tokens`` (token embeddings), ``text``,
    ``image``, ``prompts``, ``logit_scale`` and ``other`` (a projection, a
    neck, what a method adds). Each has what those before it left. Any other
    backbone counts as an image tower.
    """

    def parameters(owner: Optional[nn.Module], part: str) -> list:
        module = getattr(owner, part, None)
        return [] if module is None else list(module.parameters())

    backbone, head = model.backbone, model.cls_head
    classifier = getattr(head, 'text_classifier', None)
    text = getattr(classifier, 'text', None)
    scale = getattr(head, 'logit_scale', None)
    groups = dict(
        lora=lora_parameters(model),
        tokens=parameters(text, 'token_embedding'),
        text=parameters(classifier, 'text'),
        image=list(getattr(backbone, 'visual', backbone).parameters()),
        # Those of a video are a method's, and train with the towers.
        prompts=parameters(backbone, 'prompts') + (
            [] if hasattr(classifier, 'condition') else
            parameters(classifier, 'prompts')),
        logit_scale=[] if scale is None else [scale],
        other=list(model.parameters()))
    grouped = set()
    for name, params in groups.items():
        groups[name] = [p for p in params if id(p) not in grouped]
        grouped.update(map(id, params))
    return groups


def _parameters_of(name: str, module: nn.Module, among: Set[str]) -> bool:
    """Whether a module has parameters, all of them ``among`` these names."""
    names = [f'{name}.{own}' for own, _ in module.named_parameters()]
    return bool(names) and among.issuperset(names)


def _is_users(module: nn.Module) -> bool:
    """Whether a module's class is neither a library's nor made from ours,
    whose parts are named of themselves."""
    homes = [cls.__module__ for cls in type(module).__mro__]
    return homes[0].partition('.')[0] not in _LIBRARIES and not any(
        home.startswith(f'{_OURS}.') for home in homes)


def _outermost(modules: Dict[str, str]) -> Dict[str, str]:
    """Leave out what lies inside another one, by names with dots."""
    return {name: kind for name, kind in modules.items()
            if not any(name.startswith(f'{other}.') for other in modules)}
