"""The sentences that stand for classes."""
from typing import Dict, List, Optional, Sequence, Tuple, Union

Templates = Union[str, Sequence[str]]


def check_templates(templates: Optional[Templates],
                    default: str) -> List[str]:
    """A list of templates with ``{}`` where the class goes.

    Args:
        templates (str | Sequence[str], optional): As the user gave them.
        default (str): Where they are None.

    Raises:
        ValueError: None at all, or one without its place for the class.
    """
    if templates is None:
        templates = default
    if isinstance(templates, str):
        templates = [templates]
    templates = [t.replace('{class}', '{}') for t in templates]
    bad = [t for t in templates if t.count('{}') != 1]
    if bad or not templates:
        raise ValueError(f'Each template needs "{{}}" once, where the '
                         f'class goes; got {bad or templates}.')
    return templates


def class_sentences(
    names: Sequence[str],
    templates: Sequence[str],
    context: str = '',
    descriptions: Optional[Dict[str, List[str]]] = None
) -> Tuple[List[str], List[int]]:
    """All sentences and the class index of each.

    Args:
        names (Sequence[str]): K class names.
        templates (Sequence[str]): Filled in with each name.
        context (str): Put in front of every sentence. Defaults to ''.
        descriptions (dict[str, list[str]], optional): Sentences of each
            class in place of templates.

    Raises:
        ValueError: A class without description.
    """
    sentences, owners = [], []
    for label, name in enumerate(names):
        if descriptions is None:
            text = name.replace('_', ' ')
            lines = [t.replace('{}', text) for t in templates]
        elif not descriptions.get(name):
            raise ValueError(f'No description for class {name!r}; the '
                             f'file has {len(descriptions)} classes.')
        else:
            lines = descriptions[name]
        sentences += [context + line for line in lines]
        owners += [label] * len(lines)
    return sentences, owners
