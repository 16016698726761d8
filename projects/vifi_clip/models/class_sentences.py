"""The sentences by which a class is embedded: templates, filled with its name
and with what describes it.

"{}" is the place of the name, "{description}" that of a sentence about it.
"""
from typing import List, NamedTuple, Optional, Sequence, Union

from ..datasets.class_descriptions import spoken_name

Templates = Union[str, Sequence[str]]
PLACE = '{description}'
# Open-VCLIP's 28; their English is its own ("a example").
ACTIONS = [f'a {medium} of {action}'
           for medium in ('photo', 'video', 'example', 'demonstration')
           for action in ('{}.', 'a person {}.', *(
               f'a person {verb} {{}}.' for verb in (
                   'using', 'doing', 'during', 'performing', 'practicing')))]
NAMED_TEMPLATES = dict(
    actions=ACTIONS,
    # FROSTER: each with the description behind it, and the description alone
    product=[*(f'{t} {PLACE}' for t in ACTIONS), PLACE],
    # TACO: the description in the name's place
    sentences=[t.replace('{}', PLACE) for t in ACTIONS])


class Sentence(NamedTuple):
    """One sentence of a class."""

    text: str
    label: int
    always: bool  # not drawn, but beside the one that is


def check_templates(templates: Optional[Templates],
                    default: Templates) -> List[str]:
    """Return a list of templates, those of :data:`NAMED_TEMPLATES` for their
    name; ValueError without any, or for one without a place or with one
    twice."""
    templates = default if templates is None else templates
    if isinstance(templates, str):
        templates = NAMED_TEMPLATES.get(templates, [templates])
    templates = [t.replace('{class}', '{}') for t in templates]
    bad = [t for t in templates
           if sorted((t.count('{}'), t.count(PLACE))) not in (
               [0, 1], [1, 1])]
    if bad or not templates:
        raise ValueError('Each template needs "{}" once, where the class '
                         f'goes (or "{PLACE}"); got {bad or templates}.')
    return templates


def applied_templates(templates: List[str], described: bool) -> List[str]:
    """Return what is filled: where there are descriptions, and no template
    has a place for them, they stand alone."""
    return [PLACE] if described and not any(
        PLACE in t for t in templates) else templates


def class_sentences(names: Sequence[str], templates: Sequence[str],
                    descriptions: Optional[Sequence[Sequence[str]]] = None,
                    always: Sequence[str] = ()) -> List[Sentence]:
    """Write the sentences of classes, class by class.

    Args:
        names (Sequence[str]): K names.
        templates (Sequence[str]): Filled with each description of a class
            where they have a place for it.
        descriptions (Sequence[Sequence[str]], optional): Sentences about each
            class. Defaults to None: the name stands for them, or nothing
            beside the name.
        always (Sequence[str]): Those of the templates whose sentences are
            marked, and stand behind the others.
    """
    filled = applied_templates(templates, descriptions is not None)
    filled = sorted(filled, key=lambda template: template in always)
    result = []
    for label, name in enumerate(names):
        for template in filled:
            about: Sequence[Optional[str]] = [None]
            if descriptions is not None and PLACE in template:
                about = descriptions[label]
            result += [Sentence(_fill(template, name, text), label,
                                template in always) for text in about]
    return result


def _fill(template: str, name: str, about: Optional[str]) -> str:
    if about is None:
        name, about = name.replace('_', ' '), ''
        if '{}' not in template:
            template = template.replace(PLACE, '{}')
    else:
        name = spoken_name(name, about)
    return template.replace('{}', name).replace(PLACE, about).strip()
