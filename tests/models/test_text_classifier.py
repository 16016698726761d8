"""Templates, descriptions, label sets, and a cache that is never stale."""
import copy
import json

import pytest
import torch
import torch.nn.functional as F
from tiny import NAMES, build_classifier


def test_templates_are_averaged_after_normalisation():
    templates = ['a photo of a {}.', 'a video of {class}', 'the {} action']
    classifier = build_classifier(templates=templates, frozen=True)
    together, single = classifier(), []
    for template in templates:
        classifier.set_classes(NAMES, templates=template)
        single.append(classifier())
    expected = F.normalize(torch.stack(single).mean(0), dim=-1)
    torch.testing.assert_close(together, expected, atol=1e-6, rtol=0)


def test_descriptions(tmp_path):
    sentences = {'archery': ['a bow', 'an arrow flies'],
                 'arm wrestling': ['two hands']}
    path = tmp_path / 'descriptions.json'
    path.write_text(json.dumps(sentences))
    classifier = build_classifier(
        class_names=list(sentences), description_file=str(path),
        frozen=True)
    rows = classifier.embed_texts(['a bow', 'an arrow flies', 'two hands'],
                                  '{}')
    torch.testing.assert_close(classifier()[1], rows[2])
    torch.testing.assert_close(
        classifier()[0], F.normalize(rows[:2].mean(0), dim=0))
    with pytest.raises(ValueError, match='zumba'):
        classifier.set_classes(['archery', 'zumba'])
    assert classifier.class_names == ['archery', 'arm wrestling']


def test_rows_of_some_labels():
    classifier = build_classifier(
        templates=['a photo of a {}.', 'a {} long video with more words'])
    labels = torch.tensor([3, 0, 3])
    for trains in True, False:
        classifier.requires_grad_(trains)
        torch.testing.assert_close(classifier(labels), classifier()[labels])


def test_the_mode_that_filled_the_cache_does_not_matter():
    classifier = build_classifier(frozen=True)
    with torch.inference_mode():
        full = classifier().clone()
    x = torch.randn(2, 32, requires_grad=True)
    (x @ classifier().T).sum().backward()  # fails on an inference tensor
    assert x.grad is not None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert not torch.equal(classifier(), full)
    assert torch.equal(classifier(), full)


def _optimizer_step(c):
    for p in c.text.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(c.text.parameters(), lr=0.1).step()


CHANGES = dict(
    optimizer_step=_optimizer_step,
    load_state_dict=lambda c: c.load_state_dict(
        {k: v + 0.1 for k, v in c.state_dict().items()}),
    set_classes=lambda c: c.set_classes(NAMES[::-1]),
    to_dtype=lambda c: c.double(),
    # as MMEngine's EMAHook exchanges weights
    in_place=lambda c: c.text.text_projection.data.add_(0.1),
    data_swap=lambda c: setattr(c.text.text_projection, 'data',
                                c.text.text_projection.data + 0.1),
    token_embedding=lambda c: c.text.token_embedding.weight.data.add_(
        torch.randn(32)))


@pytest.mark.parametrize('change', CHANGES)
def test_never_stale(change):
    classifier = build_classifier()
    with torch.no_grad():
        old = classifier().clone()
        CHANGES[change](classifier)
        fresh = copy.deepcopy(classifier)
        fresh.embedding_cache.clear()
        assert not torch.equal(classifier().float(), old)
        torch.testing.assert_close(classifier(), fresh())


@pytest.mark.parametrize('kwargs, match', [
    (dict(class_names=['a', '']), 'class'),
    (dict(class_names=None), 'class_names'),
    (dict(templates='a photo'), '{}'), (dict(templates=[]), '{}'),
    (dict(templates='{} and {}'), '{}'),
    (dict(max_graph_tokens=0), 'max_graph_tokens'),
    (dict(max_graph_tokens=2.5), 'max_graph_tokens'),
    (dict(max_graph_tokens=True), 'max_graph_tokens'),
    (dict(shard_classes='yes'), 'shard_classes')])
def test_bad_input(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build_classifier(**kwargs)


def test_longest_prompt_that_fits_is_not_cut():
    # 24 places: start, 22 words, end
    name = ' '.join(['x'] * 22)
    classifier = build_classifier(class_names=[name, 'a'], templates='{}')
    assert classifier.tokens.shape == (2, 24)
    assert int(classifier.tokens[0, -1]) == 49407
    with pytest.raises(ValueError, match='25'):
        classifier.set_classes([name + ' x'])
