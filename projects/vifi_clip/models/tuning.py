"""Which parameters train, chosen by object and never by name."""
from typing import Dict, Iterable, List, Optional

from torch import nn

TUNES = ('both', 'image', 'text', 'prompts', 'none')


def _call(owner: Optional[nn.Module], method: str, default) -> Iterable:
    return getattr(owner, method, default)()


def parameter_groups(model: nn.Module) -> Dict[str, List[nn.Parameter]]:
    """A recognizer's parameters by what they are.

    Args:
        model (nn.Module): With ``backbone`` and ``cls_head``. A backbone
            that is not ours counts as an image tower.

    Returns:
        dict[str, list[Parameter]]: ``image``, ``text``, ``tokens`` (token
        embeddings), ``prompts``, ``logit_scale`` and ``other`` (a projection,
        a neck); every parameter of the model is in exactly one.
    """
    backbone, head = model.backbone, model.cls_head
    classifier = getattr(head, 'text_classifier', None)

    def nothing() -> tuple:
        return ()

    scale = getattr(head, 'logit_scale', None)
    groups = dict(
        image=list(_call(backbone, 'tower_parameters', backbone.parameters)),
        text=list(_call(classifier, 'tower_parameters', nothing)),
        tokens=list(_call(classifier, 'token_parameters', nothing)),
        prompts=[
            *_call(backbone, 'prompt_parameters', nothing),
            *_call(classifier, 'prompt_parameters', nothing)
        ],
        logit_scale=[] if scale is None else [scale])
    known = {id(p) for params in groups.values() for p in params}
    groups['other'] = [p for p in model.parameters() if id(p) not in known]
    return groups


def trained_groups(tune: str, logit_scale: Optional[bool],
                   token_embedding: bool) -> set:
    """Names of the groups that train under a ``tune`` setting.

    Args:
        tune (str): One of :data:`TUNES`.
        logit_scale (bool, optional): Force the logit scale; None follows the
            release (trained in 'both' only).
        token_embedding (bool): Train token embeddings wherever the text
            tower trains.
    """
    groups = {
        'both': {'image', 'text', 'other', 'logit_scale'},
        'image': {'image', 'other'},
        'text': {'text', 'other'},
        'prompts': {'prompts'},
        'none': set(),
    }[tune]
    if logit_scale is not None:
        groups = groups - {'logit_scale'} | ({'logit_scale'}
                                             if logit_scale else set())
    if token_embedding and 'text' in groups:
        groups = groups | {'tokens'}
    return groups
