"""Which parameters train, chosen by object and never by name."""
from typing import Dict, List, Optional

from torch import nn

TUNES = ('both', 'image', 'text', 'prompts', 'none')


def parameter_groups(model: nn.Module) -> Dict[str, List[nn.Parameter]]:
    """Sort a recognizer's parameters by what they are.

    The groups are ``tokens`` (token embeddings), ``text``, ``image``,
    ``prompts``, ``logit_scale`` and ``other`` (a projection, a neck). Each has
    what those before it left. A backbone that is not ours counts as an image
    tower.
    """

    def parameters(owner: Optional[nn.Module], part: str) -> list:
        module = getattr(owner, part, None)
        return [] if module is None else list(module.parameters())

    backbone, head = model.backbone, model.cls_head
    classifier = getattr(head, 'text_classifier', None)
    text = getattr(classifier, 'text', None)
    scale = getattr(head, 'logit_scale', None)
    groups = dict(
        tokens=parameters(text, 'token_embedding'),
        text=parameters(classifier, 'text'),
        image=list(getattr(backbone, 'visual', backbone).parameters()),
        prompts=parameters(backbone, 'prompts') + parameters(
            classifier, 'prompts'),
        logit_scale=[] if scale is None else [scale],
        other=list(model.parameters()))
    grouped = set()
    for name, params in groups.items():
        groups[name] = [p for p in params if id(p) not in grouped]
        grouped.update(map(id, params))
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
    if logit_scale:
        groups.add('logit_scale')
    elif logit_scale is not None:
        groups.discard('logit_scale')
    if token_embedding and 'text' in groups:
        groups.add('tokens')
    return groups
