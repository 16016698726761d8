"""Which parameters train, chosen by object and never by name."""
from typing import Dict, List, Optional

from torch import nn

TUNES = ('both', 'image', 'text', 'prompts', 'none')


def parameter_groups(model: nn.Module) -> Dict[str, List[nn.Parameter]]:
    """A recognizer's parameters by what they are.

    The groups are ``image``, ``text``, ``tokens`` (token embeddings),
    ``prompts``, ``logit_scale`` and ``other`` (a projection, a neck); every
    parameter is in exactly one. A backbone that is not ours counts as an
    image tower.
    """

    def of(owner: Optional[nn.Module], method: str) -> list:
        return list(getattr(owner, method)()) if hasattr(owner, method) else []

    backbone, head = model.backbone, model.cls_head
    classifier = getattr(head, 'text_classifier', None)
    scale = getattr(head, 'logit_scale', None)
    ours = hasattr(backbone, 'tower_parameters')
    groups = dict(
        image=of(backbone, 'tower_parameters' if ours else 'parameters'),
        text=of(classifier, 'tower_parameters'),
        tokens=of(classifier, 'token_parameters'),
        prompts=(of(backbone, 'prompt_parameters') +
                 of(classifier, 'prompt_parameters')),
        logit_scale=[] if scale is None else [scale])
    known = {id(p) for params in groups.values() for p in params}
    groups['other'] = [p for p in model.parameters() if id(p) not in known]
    return groups


def trained_groups(tune: str, logit_scale: Optional[bool],
                   token_embedding: bool) -> set:
    """Names of the groups that train; arguments as of :class:`ViFiCLIP`."""
    groups = dict(
        both={'image', 'text', 'other', 'logit_scale'},
        image={'image', 'other'},
        text={'text', 'other'},
        prompts={'prompts'},
        none=set())[tune]
    if logit_scale is not None:
        groups.discard('logit_scale')
        groups |= {'logit_scale'} if logit_scale else set()
    if token_embedding and 'text' in groups:
        groups |= {'tokens'}
    return groups
