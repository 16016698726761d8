"""The command: what it takes, prints and measures; counted figures against
closed forms written down here, and by hand."""
import json
import os
from functools import lru_cache

import pytest
import torch
from commands import refused, vifi
from mmengine.config import Config
from open_clip.tokenizer import SimpleTokenizer
from tiny import model_cfg, timm_arch, tiny_arch

from projects.vifi_clip.datasets import read_class_list
from projects.vifi_clip_configs.shipped import root
from projects.vifi_clip_tools.complexity.count import Complexity, complexity
from projects.vifi_clip_tools.complexity.paper import paper_notes
from projects.vifi_clip_tools.complexity.specs import (load_spec, parse_spec,
                                                       title_of)
from projects.vifi_clip_tools.complexity.table import terminal

# ViT-B/16 and its text tower: width, layers, embedding
W, TEXT, LAYERS, D, PATCHES = 768, 512, 12, 512, 196


@lru_cache(maxsize=None)
def _count(spec):
    spec = parse_spec(spec)
    return complexity(load_spec(spec), spec.title)


def _block(tokens, width, read=None):
    """MACs of a layer: queries, keys, values, output and an MLP of four
    times the width; each token with each. ``read`` tokens go on from it."""
    read = tokens if read is None else read
    keys_values = 2 * tokens * width**2
    return keys_values + read * 10 * width**2 + 2 * read * tokens * width


def _frame(prompts=0, cut=False):
    tokens = PATCHES + 1 + prompts
    return (PATCHES * 3 * 16 * 16 * W + (LAYERS - 1) * _block(tokens, W)
            + _block(tokens, W, 1 if cut else None) + W * D)


def _sentence(tokens, cut=False):
    return ((LAYERS - 1) * _block(tokens, TEXT)
            + _block(tokens, TEXT, 1 if cut else None) + TEXT * D)


@pytest.mark.parametrize('spec,frames,prompts,classes', [
    ('vifi_k400', 16, 0, 400),
    ('vifi_k400:NUM_FRAMES=8,TUNE=image', 8, 0, 400),
    ('vifi_base2novel:TUNE=prompts', 32, 16, 26),
    ('vifi_retrieval', 16, 0, 1)])
def test_closed_form(spec, frames, prompts, classes):
    figures = _count(spec)
    assert (figures.frames, figures.classes) == (frames, classes)
    scores = classes * D
    assert figures.asked == dict(
        image=frames * _frame(prompts) + scores,
        text=classes * _sentence(77))
    assert figures.run['image'] == frames * _frame(prompts, True) + scores


def test_figures_of_the_paper():
    plain = _count('vifi_k400')
    assert plain.asked['image'] / 1e9 == pytest.approx(281, rel=0.01)
    # 149.6 M with the token embeddings, 0.3% from the paper's without
    assert plain.parameters == 149_620_737
    assert plain.token_parameters == 49408 * TEXT
    assert plain.trained == plain.parameters - plain.token_parameters
    assert plain.trained / 1e6 == pytest.approx(124.7, rel=0.005)
    four = _count('vifi_k400:TUNE=prompts,model.backbone.prompts.length=4')
    assert four.asked['image'] / 1e9 == pytest.approx(287, rel=0.001)
    assert four.trained == 12 * (4 * W + 10 * TEXT)
    notes = paper_notes([plain, four])  # one is of no row
    assert len(notes) == 2 and '281.0 of 281' in notes[1]
    assert '124.3 of 124.7' in notes[1] and '(-0.3%)' in notes[1]


def test_figures_of_x_clip():
    """Of the paper's Table 6, for its 16 frames and 400 classes."""
    figures = _count('vifi_k400:METHOD=xclip')
    message = W**2 + 4 * W**2 + 2 * 16 * W  # of a layer and a frame
    frame = (PATCHES * 3 * 16 * 16 * W + LAYERS * (
        message + _block(PATCHES + 2, W)) + W * D * (PATCHES + 1))
    prompts = 2 * (400 * (2 * D**2 + 8 * D**2 + 2 * PATCHES * D)
                   + 2 * PATCHES * D**2)
    assert figures.asked['image'] == (
        16 * (frame + _block(16, D) / 16) + prompts + 400 * D)
    assert figures.trained == 131_505_152
    note, = paper_notes([figures])[1:]
    assert 'X-CLIP' in note and 'not' not in note
    assert '286.8 of 287' in note and '131.5 of 131.5' in note


@pytest.mark.parametrize('knobs, frames, over_time, said', [
    # six layers; probabilities of 16 templates are averaged
    ('METHOD=actionclip', 32, 6 * _block(32, D) + 15 * 400 * D,
     ['562.6 of 563', '168.6 of 168.5']),
    ('METHOD=actionclip,TEMPORAL=lstm', 32, 32 * 8 * D**2 + 15 * 400 * D, []),
    # and a sentence
    ('METHOD=a5', 16, _block(16, D), ['284.0 of 284']),
    ('METHOD=a6', 16, 2 * _block(16, D), [])])
def test_figures_of_methods(knobs, frames, over_time, said):
    figures = _count(f'vifi_k400:{knobs}')
    assert figures.frames == frames
    assert figures.asked['image'] == frames * _frame() + over_time + 400 * D
    note = ' '.join(paper_notes([figures]))
    assert bool(note) == bool(said) and 'not reproduced' not in note
    assert all(part in note for part in said)


def test_text_runs_to_the_end_of_each_sentence():
    tokenizer = SimpleTokenizer()
    names = read_class_list(root() / 'data_splits/k400/classes.txt')
    lengths = [len(tokenizer.encode(f'a photo of a {name}.')) + 2
               for name in names]
    least = sum(_sentence(length, True) for length in lengths)
    run = _count('vifi_k400').run['text']
    # sentences of like length share a batch
    assert least <= run < 1.1 * least
    assert run < len(names) * _sentence(max(lengths), True)
    # a caption
    assert _count('vifi_retrieval').run['text'] == _sentence(77, True)


def _complexity(model):
    return complexity(Config(dict(model=model)), ['tiny'])


@pytest.mark.parametrize('arch, width, layers, tokens, cut', [
    (tiny_arch(), 64, 2, 17, True),
    (tiny_arch(vision_cfg=dict(pool_type='avg')), 64, 2, 17, False),
    (timm_arch('vit_tiny_patch16_224'), 192, 12, 5, False)])
def test_attention_is_counted(arch, width, layers, tokens, cut):
    """Not in a fused operator that no counter knows."""
    model = model_cfg()
    model['backbone'].update(arch=arch, image_size=32)
    figures = _complexity(model)
    pixels = 3 * 32 * 32  # each one with `width` weights
    linear = layers * 12 * tokens * width**2 + pixels * width + width * 32
    attention = layers * 2 * tokens**2 * width
    scores = 4 * 32
    assert figures.asked['image'] == 2 * (linear + attention) + scores
    assert (figures.run['image'] < figures.asked['image']) == cut
    assert figures.run['text'] < figures.asked['text']


# Of the tiny towers, by hand: patches, class token, positions, norms,
# projection, and 12 W^2 + 13 W of each of two layers.
_IMAGE = (3 * 8 * 8 * 64 + 64 + 17 * 64 + 4 * 64 + 64 * 32
          + 2 * (12 * 64**2 + 13 * 64))
_TEXT = 24 * 32 + 2 * 32 + 32 * 32 + 2 * (12 * 32**2 + 13 * 32)
_PROMPTS = 2 * 3 * (64 + 32)


@pytest.mark.parametrize('tune,trained', [
    ('both', _IMAGE + _TEXT + 1), ('image', _IMAGE), ('text', _TEXT),
    ('prompts', _PROMPTS), ('none', 0)])
def test_trained_parameters(tune, trained):
    prompts = dict(length=3, depth=2) if tune == 'prompts' else None
    figures = _complexity(model_cfg(tune=tune, prompts=prompts))
    assert figures.trained == trained
    assert figures.token_parameters == 49408 * 32
    own = _PROMPTS if prompts else 0
    assert figures.parameters == _IMAGE + _TEXT + 1 + 49408 * 32 + own
    assert torch.backends.mha.get_fastpath_enabled()  # as before


@pytest.mark.slow
def test_other_backbones_and_heads():
    # ResNet-50: 4.09 GMACs an image (torchvision's figure), 25.6 M with a
    # classifier of 1000, here a projection to 512
    tsn = _count('mix/tsn_r50_vifi_head_k400')
    assert tsn.frames == 8
    assert tsn.asked['image'] / 8e9 == pytest.approx(4.09, rel=0.002)
    assert tsn.trained == 25_557_032 - 2048 * 1000 - 1000 + 2048 * D + 1
    # VideoMAE's paper: 180 GFLOPs, a clip of 16 frames
    mae = _count('mix/videomae_base_vifi_head_k400')
    assert (mae.frames, mae.size) == (16, (224, 224))
    assert mae.asked['image'] / 1e9 == pytest.approx(180, rel=0.005)
    # MMAction2's own head: no text
    plain = _count('mix/clip_b16_tsn_head_k400')
    assert plain.asked == dict(image=8 * _frame() + D * 400, text=0)
    assert plain.sentences == plain.token_parameters == 0


def test_knobs_are_for_one_config(monkeypatch):
    monkeypatch.setenv('TUNE', 'text')
    monkeypatch.delenv('PRETRAINED', raising=False)
    spec = parse_spec('vifi_k400:TUNE=image,NUM_FRAMES=8,model.backbone.a=3')
    assert spec.title == ['vifi_k400', 'TUNE=image', 'NUM_FRAMES=8',
                          'model.backbone.a=3']
    model = load_spec(spec).model
    assert (model.tune, model.cls_head.num_frames, model.backbone.a) == (
        'image', 8, 3)
    assert os.environ['TUNE'] == 'text' and 'PRETRAINED' not in os.environ
    cfg = load_spec(parse_spec('vifi_k400'))
    assert cfg.model.tune == 'text'
    # nothing to download
    assert cfg.model.backbone.pretrained is None
    assert cfg.model.cls_head.text_classifier.pretrained is None
    # a knob of the environment is another model
    assert title_of(parse_spec('vifi_k400'), cfg) == ['vifi_k400', 'TUNE=text']
    # and one that a method has
    spec = parse_spec('vifi_k400:METHOD=actionclip,TUNE=both,TEMPORAL=conv1d')
    cfg = load_spec(spec)
    assert cfg.model.cls_head.temporal.type == 'TemporalConv'
    assert title_of(spec, cfg) == spec.title


@pytest.mark.parametrize('words, names', [
    ('nothing', 'nothing'), ('vifi_k400:TNUE=image', ('TNUE', 'TUNE')),
    ('vifi_k400:SHOTS=2', ('SHOTS', 'ARCH')),
    ('vifi_k400:TEMPORAL=lstm', ('TEMPORAL', 'METHOD')),
    ('vifi_k400:TUNE=all', 'TUNE=all'), ('vifi_k400:TUNE', 'NAME=VALUE'),
    ('vifi_k400:model.bone.depth=3', 'model.bone.depth'),
    ('vifi_k400:model.backbone.dept=3', 'dept'),
    ('vifi_k400:ARCH=ViT-Z', 'ViT-Z'), ('none.py', 'none.py'),
    ('a:b=c.py', ('a:b=c.py', 'frames')),
    # before the config is looked for
    ('no_such --json a.txt', '--json'),
    ('no_such --markdown /proc/x/a.md', '--markdown'),
    ('no_such --measure --repeats 0', '--repeats')])
def test_refusals(words, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'none.py').write_text('a = 1')
    (tmp_path / 'a:b=c.py').write_text(
        "model = dict(type='Recognizer2D', backbone=dict(type='ResNet', "
        "depth=18), cls_head=dict(type='TSNHead', num_classes=3, "
        "in_channels=512))")
    refused(capsys, 'complexity', *words.split(), names=names)


def _figures(num):
    return [Complexity(
        [f'a_config_with_a_rather_long_name_{i}', 'TUNE=prompts',
         'ARCH=ViT-L-14-quickgelu'], 16, (224, 224), 400, 400, 77,
        dict(image=281 * 10**9, text=1192 * 10**9),
        dict(image=262 * 10**9, text=136 * 10**9),
        149620737, 25296896, 153600) for i in range(num)]


_MEASURED = dict(seconds=[2.], peak_bytes=2**31, views_per_second=dict(
    median=71.1, min=70., max=72.))


@pytest.mark.parametrize('num', [1, 2, 3, 4, 7])
@pytest.mark.parametrize('measured', [0, 1])
def test_table_fits_a_terminal(num, measured):
    text = terminal(_figures(num), [_MEASURED] * measured * num,
                    about='a machine' * measured)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert 'MACs' in lines[0]
    cells = text.partition('asked for: ')[0].split()
    for cell in ('281.0', '262.0', '149.6', '0.154', *['71.10'] * measured):
        assert cells.count(cell) == num
    assert 'ViT-L-14-' in text and 'quickgelu' in text


def test_json(tmp_path, capsys):
    out = tmp_path / 'new' / 'a.json'
    argv = ['complexity', 'small_world', '--convention', 'flops', '--json',
            out]
    assert vifi(*argv) == 0
    assert '0.161' in capsys.readouterr().out
    record, = json.loads(out.read_text())['configs']
    assert 'measured' not in record and record['paper'] is None
    assert record['run']['image'] < record['asked']['image']
    assert record['asked']['image'] == pytest.approx(0.161e9, rel=0.01)
    refused(capsys, *argv, names='--overwrite')
    capsys.readouterr()
    assert vifi(*argv[:-1]) == 0
    assert json.loads(capsys.readouterr().out)['configs'] == [record]


@pytest.mark.slow
def test_measured_for_real(tmp_path, capfd):
    out, table = tmp_path / 'a.json', tmp_path / 'a.md'
    assert vifi(
        'complexity', 'small_world',
        'small_world:model.data_preprocessor.format_shape=NCTHW', '--measure',
        '--repeats', '3', '--batch-size', '2', '--threads', '1', '--device',
        'cpu', '--json', out, '--markdown', table) == 1  # the second fails
    printed = capfd.readouterr()
    assert '5/5' in printed.err  # progress, warm-up included
    record, failed = json.loads(out.read_text())['configs']
    figures, seconds = record['measured'], record['measured']['seconds']
    assert len(seconds) == 3
    rates = figures['views_per_second']
    assert rates == dict(median=pytest.approx(2 / sorted(seconds)[1]),
                         min=2 / max(seconds), max=2 / min(seconds))
    # torch alone takes more than 100 MiB
    assert 100 * 2**20 < figures['peak_bytes'] < 8 * 2**30
    assert list(failed['measured']) == ['error']
    said = ' '.join(printed.out.split())
    assert 'NCTHW was not measured: ' in said and 'batch 2' in said
    assert '| views/s, median |' in table.read_text()
