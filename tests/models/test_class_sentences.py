"""Descriptions in templates against sentences put together by hand and the
plain tower: FROSTER's, TACO's and TC-CLIP's ways, drawn and all."""
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import (assert_same, batches_of, build_classifier, classifier_cfg,
                  gradients, loss_of, tiny_arch, train_steps, trained_model,
                  wrapper_of)

from projects.vifi_clip.engine.hooks import EpochSeedHook

NAMES = ['brush_hair', 'BandMarching', 'kick', 'yoga']
SPOKEN = ['Brush hair', 'Band Marching', 'Kick', 'Yoga']
TEXTS = ['Brush hair: A person is styling their hair',
         'Band Marching: A band plays and marches',
         'Kick: A person hits with a foot', 'Yoga: A person stretches']
ARCH = tiny_arch(text_cfg=dict(context_length=77))
ACTIONS = '''a photo of {}.|a photo of a person {}.|
a photo of a person using {}.|a photo of a person doing {}.|
a photo of a person during {}.|a photo of a person performing {}.|
a photo of a person practicing {}.'''
ACTIONS = [template.strip().replace('photo', medium)
           for medium in ('photo', 'video', 'example', 'demonstration')
           for template in ACTIONS.split('|')]
PRODUCT = dict(templates='product', always_templates=['{description}'])


@pytest.fixture(scope='module')
def build(tmp_path_factory):
    path = tmp_path_factory.mktemp('texts') / 'froster.json'
    path.write_text(json.dumps(dict(enumerate(TEXTS))))

    def run(model=False, names=NAMES, **kwargs):
        torch.manual_seed(0)
        cfg = dict(arch=ARCH, class_names=names, description_file=str(path))
        if model:
            return trained_model(
                head=dict(text_classifier=classifier_cfg(**cfg, **kwargs)),
                tune=model)
        return build_classifier(**cfg, **kwargs)

    return run


def encode(classifier, sentences):
    """One sentence after the other, through all of OpenCLIP's tower."""
    return torch.cat([classifier.text(classifier.tokenizer([text]))
                      for text in sentences])


def froster(classifier, templates):
    """Each template with the description behind, and it alone."""
    return torch.stack([F.normalize(F.normalize(encode(classifier, [
        *(t.format(n) + ' ' + s for t in templates), s]), dim=-1).mean(0),
        dim=-1) for n, s in zip(SPOKEN, TEXTS)])


def test_frosters_29_sentences(build):
    classifier = build(**PRODUCT)
    assert len(ACTIONS) == 28 and len(classifier.tokens) == 4 * 29
    torch.testing.assert_close(classifier(), froster(classifier, ACTIONS),
                               atol=1e-6, rtol=1e-5)


def test_tacos_28_sentences(build):
    classifier = build(templates='sentences', average='raw')
    expected = torch.stack([F.normalize(encode(classifier, [
        t.format(s) for t in ACTIONS]).mean(0), dim=-1) for s in TEXTS])
    torch.testing.assert_close(classifier(), expected, atol=1e-6, rtol=1e-5)
    plain = build(templates='sentences')
    assert (plain() - expected).abs().max() > 1e-4  # normalised before
    one = build(templates='{description}', average='raw')
    torch.testing.assert_close(
        one(), F.normalize(encode(one, TEXTS), dim=-1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('templates, sentences', [
    ('a photo of a {description}.', [f'a photo of a {s}.' for s in TEXTS]),
    ('a photo of a {}.', TEXTS),  # without a place: alone, as ever
    ('{class}: {description}', [f'{n}: {s}' for n, s in zip(SPOKEN, TEXTS)])])
def test_one_template(build, templates, sentences):
    classifier = build(templates=templates)
    torch.testing.assert_close(
        classifier(), F.normalize(encode(classifier, sentences), dim=-1),
        atol=1e-6, rtol=1e-5)


def test_names_stand_for_descriptions_that_are_not_there(build):
    """Of other texts, and of label sets that are chosen later."""
    classifier = build(templates=['a {}, {description}', '{description}!'])
    torch.testing.assert_close(
        classifier.embed_texts(['two_words']), F.normalize(F.normalize(encode(
            classifier, ['a two words,', 'two words!']),
            dim=-1).mean(0, keepdim=True), dim=-1), atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="'run' .label 1"):
        classifier.set_classes(['kick', 'run'])
    classifier.set_classes(['kick', 'run'], dict(KICK=['x'], run=['y', 'z']))
    assert classifier.owners.tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize('templates', ['{description} {description}', 'a',
                                       ['{}', '{} {} {description}']])
def test_bad_templates(build, templates):
    with pytest.raises(ValueError, match='{}'):
        build(templates=templates)


def test_one_template_a_step_for_all_classes(build):
    """Each is drawn, with the description alone beside it."""
    classifier = build(random_template='shared', **PRODUCT).train()
    with torch.no_grad():
        ways = torch.stack([froster(classifier, [t]) for t in ACTIONS])
    counts, labels = np.zeros(28, int), torch.tensor([2, 0, 2, 1, 3])
    for step in range(200):
        got = classifier().detach() if step % 9 else (
            classifier(labels)[[1, 3, 0, 4]].detach())
        apart = (ways - got).abs().amax((1, 2))
        assert apart.min() < 1e-5 < apart.sort().values[1]
        counts[apart.argmin()] += 1
    assert (counts > 0).all()
    # all, in a test
    torch.testing.assert_close(classifier.eval()(), build(**PRODUCT)())


@pytest.mark.parametrize('tune', ['both', 'text', 'image'])
def test_accumulation_takes_one_draw_a_step(build, tune):
    """Where the text trains; where not, all sentences are encoded once."""
    model = build(tune, random_template='shared', **PRODUCT)
    classifier, draws = model.cls_head.text_classifier, []
    hand = type(classifier)._draw

    def draw(labels):
        rows = hand(classifier, labels)
        draws.append(int(rows[0]))
        return rows

    classifier._draw = draw
    train_steps(model, wrapper_of(model, 2), batches_of(4, 1))
    assert len(draws) == (0 if tune == 'image' else 2)
    assert len(set(draws)) == len(draws)


def test_gradients_of_accumulated_draws(build):
    """Equal those of a step with the same template and nothing else."""
    a, b = batches_of(2)
    model = build('both', random_template='shared', **PRODUCT)
    state = torch.get_rng_state()
    number = int(torch.rand(1) * 28)
    plain = build('both', templates=[
        f'{ACTIONS[number]} {{description}}', '{description}'])
    torch.set_rng_state(state)
    accumulation = model.cls_head.text_classifier.class_accumulation
    accumulation.begin(True, False)
    loss_of(model, a).backward()
    accumulation.begin(False, True)
    loss_of(model, b).backward()
    accumulation.end()
    (loss_of(plain, a) + loss_of(plain, b)).backward()
    assert_same(gradients(model), gradients(plain))


def test_a_resumed_run_draws_as_an_unbroken_one(build):
    """It begins at iteration 1 of epoch 2."""
    classifier = build(random_template='shared', **PRODUCT).train()
    hook, runner = EpochSeedHook(), SimpleNamespace(seed=1, epoch=2)
    steps = []
    for iteration in 0, 1, 2, 1, 2:
        hook.before_train_iter(runner, iteration)
        steps.append(classifier().detach())
    assert torch.equal(steps[1], steps[3]) and torch.equal(steps[2], steps[4])
    assert not any(torch.allclose(steps[i], steps[j])
                   for i, j in ((0, 1), (0, 2), (1, 2)))


def test_kept_embeddings_are_of_all_sentences(build):
    """A draw leaves the cache of tests alone, and finds it again."""
    model = build('both', random_template='shared', **PRODUCT)
    classifier = model.cls_head.text_classifier
    with torch.no_grad():
        kept = classifier().clone()
    calls = []
    classifier.text.ln_final.register_forward_hook(
        lambda *args: calls.append(1))
    assert not torch.allclose(classifier(), kept)
    drawn = len(calls)
    with torch.no_grad():
        assert torch.equal(classifier(), kept) and len(calls) == drawn > 0


def test_switched_off_it_is_what_it_was():
    """The same numbers, and no random ones: bit for bit."""
    classifier = build_classifier().train()
    before = torch.get_rng_state()
    expected = F.normalize(encode(classifier, [
        f'a photo of a {n}.' for n in (
            'archery', 'arm wrestling', 'playing cards', 'zumba')]), dim=-1)
    torch.testing.assert_close(classifier(), expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(torch.get_rng_state(), before)
    assert not classifier.always.any()
