"""Sentences about classes, looked over before a model reads them."""
import difflib
import re
from collections import defaultdict
from itertools import groupby
from typing import Dict, Iterator, List, Sequence

from open_clip.tokenizer import SimpleTokenizer

from projects.vifi_clip.datasets.class_descriptions import (
    Description, match_names, read_descriptions)
from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.models.class_sentences import (NAMED_TEMPLATES,
                                                       class_sentences)

from ..cli.terminal import cleaned
from .findings import CHECKS, PROBLEM, WARNING, Finding
from .report import section

_CONTEXT = 77  # tokens of CLIP's text tower, two of which begin and end


def check_descriptions(path: str, class_file: str) -> int:
    """Say what is wrong with the descriptions of the classes of a class list;
    1 if there are problems."""
    names, entries = read_class_list(class_file), read_descriptions(path)
    entries = [e._replace(name=names[e.name] if e.name < len(names) else '')
               if type(e.name) is int else e for e in entries]
    order = list(CHECKS).index
    findings = sorted(find_all(names, entries),
                      key=lambda f: (order(f.check), f))
    for check, items in groupby(findings, lambda item: item.check):
        print(cleaned(section(check, list(items))) + '\n')
    counts = [sum(f.level == level for f in findings)
              for level in (PROBLEM, WARNING)]
    print(cleaned(f'{path}: {len(entries)} descriptions, {class_file}: '
                  f'{len(names)} classes; {counts[0]} problems, {counts[1]} '
                  'warnings'))
    return 1 if counts[0] else 0


def find_all(names: Sequence[str],
             entries: Sequence[Description]) -> Iterator[Finding]:
    """Run all checks on what a file has for the classes ``names``."""
    places: Dict[str, List[str]] = defaultdict(list)
    for name, texts, place in entries:
        if name == '':
            yield Finding('no_colon', f'{texts[0]:.80}', places=(place, ))
        else:
            places[name].append(place)
    for name, found in places.items():
        if len(found) > 1:
            yield Finding('described_twice', name, places=tuple(found))
    matched = match_names(names, list(places))
    for name, found in zip(names, matched):
        if found is None:
            folded = {other.casefold(): other for other in places}
            near = difflib.get_close_matches(name.casefold(), folded, 1)
            yield Finding('undescribed', name,
                          f'{folded[near[0]]!r} is near' if near else '')
    for name in places.keys() - set(matched):
        yield Finding('other_description', name, places=tuple(places[name]))
    yield from _check_texts([e for e in entries if e.name])


def _check_texts(entries: Sequence[Description]) -> Iterator[Finding]:
    tokenizer, owners = SimpleTokenizer(), defaultdict(set)
    spoken = {entry.name: _words(entry.name) for entry in entries}
    for name, texts, place in entries:
        for text in texts:
            about = _words(text.partition(':')[2] or text)
            owners[about].add(name)
            for other, words in spoken.items():
                if words in about and words not in spoken[name]:
                    yield Finding('leaked_name', name,
                                  f'{other!r} is another class', (place, ))
        tokens = max((tokenizer.encode(sentence.text) for sentence in
                      class_sentences([name], NAMED_TEMPLATES['product'],
                                      [texts])), key=len)
        if len(tokens) + 2 > _CONTEXT:
            lost = tokenizer.decode(tokens[_CONTEXT - 2:]).strip()
            yield Finding('too_many_tokens', name, f'{len(tokens) + 2} tokens '
                          f'with the longest template; {lost!r} is cut off',
                          (place, ))
    for about, same in owners.items():
        if len(same) > 1:
            first, *others = sorted(same)
            yield Finding('same_description', first,
                          'also ' + ', '.join(others))


def _words(text: str) -> str:
    words = re.findall(r'[^\W_]+', text.casefold())
    return f' {" ".join(words)} '
