"""Checkpoints of every layout, against independent models: same logits."""
import copy
import json
import os
import sys

import open_clip
import pytest
import torch
from conversion_world import (PROMPTS, TOLERANCE, clip_logits, convert, logits,
                              ours, randomise, release_model, save_openai,
                              transformers_clip)
from open_clip.model import CLIP, CustomTextCLIP
from release_file import ARCH, NAMES, write_release_file
from tiny import class_tokens


@pytest.mark.parametrize('kind, legacy', [
    *((kind, False) for kind in PROMPTS), ('deep', True)])
def test_release_there_and_back(clip, clip_file, tmp_path, video, kind,
                                legacy):
    model = release_model(clip, kind)
    src, dst, back = (tmp_path / n for n in ('src.pth', 'a.pth', 'back.pth'))
    write_release_file(model, src, _use_new_zipfile_serialization=not legacy)
    report = convert(src, dst, 'release', 'vifi', '--clip', clip_file)
    assert 'yacs_like' not in sys.modules
    with torch.no_grad():
        expected = model(video)
    assert expected.std() > 1e-3
    converted, settings = ours(dst)
    torch.testing.assert_close(logits(converted, video), expected,
                               **TOLERANCE)
    for name, param in converted.named_parameters():
        if 'prompts' in name and len(param) > 1:  # the layers' order matters
            right = param.detach().clone()
            param.data = right.flip(0)
            assert (logits(converted, video) - expected).abs().max() > 1e-3
            param.data = right
    # the account is complete
    used, dropped = report['used'], report['dropped']
    assert set(used) | set(dropped) == set(model.state_dict())
    assert set(dropped) == {name for name, _ in model.named_buffers()}
    assert report['missing'] == {
        'cls_head.text_classifier.text.token_embedding.weight': clip_file}
    assert {key for keys in used.values() for key in keys} | set(
        report['missing']) == set(converted.state_dict())
    # what it was made with
    assert settings['num_frames'] == 2 and settings['arch'] == ARCH
    assert settings['pixel_mean'] == [123.675, 116.28, 103.53]
    assert settings['templates'] == ([
        '{}.'] if PROMPTS[kind].get('text_depth') else ['a photo of a {}.'])
    assert settings['tune'] == (
        'prompts' if PROMPTS[kind].get('text_depth') else 'both')

    convert(dst, back, 'vifi', 'release')
    loaded = torch.load(back, weights_only=True)['model']
    assert loaded.keys() == {f'module.{key}' for key in used}
    reloaded = randomise(release_model(clip, kind))
    reloaded.load_state_dict(
        {k[7:]: v for k, v in loaded.items()}, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(reloaded(video), expected, **TOLERANCE)


def test_release_to_open_clip(clip, files, add_model, tmp_path, video,
                              refused):
    add_model(files / 'arch.json')
    args = 'release', 'open_clip', '--clip', files / 'clip.pt'
    dst = tmp_path / 'dst.safetensors'
    convert(files / 'plain.pth', dst, *args)
    theirs = open_clip.create_model('arch', pretrained=str(dst))
    with torch.no_grad():
        torch.testing.assert_close(
            clip_logits(theirs.eval(), video),
            release_model(clip, 'plain')(video), **TOLERANCE)
    refused(files / 'deep.pth', *args, names='--drop-prompts')
    dst = tmp_path / 'without.pt'
    report = convert(files / 'deep.pth', dst, *args, '--drop-prompts')
    assert {'image_encoder.VPT', 'prompt_learner.ctx'} <= set(
        report['dropped'])
    open_clip.create_model('arch', pretrained=str(dst))


@pytest.mark.parametrize('custom_text, name', [
    (False, 'dst.pt'), (True, 'dst.safetensors')])
def test_open_clip_there_and_back(add_model, tmp_path, video, custom_text,
                                  name):
    arch = dict(ARCH, custom_text=True) if custom_text else ARCH
    source = randomise((CustomTextCLIP if custom_text else CLIP)(**ARCH))
    src, dst, back = (tmp_path / n for n in ('src.pt', 'mid.pth', name))
    torch.save({'state_dict': {f'module.{k}': v for k, v in
                               source.state_dict().items()}}, src)
    json_file = tmp_path / f'tiny-custom-{custom_text}.json'
    json_file.write_text(json.dumps(arch))
    convert(src, dst, 'open_clip', 'vifi', '--arch', json_file)
    expected = clip_logits(source, video)
    converted, settings = ours(dst)
    assert settings['arch'] == arch
    torch.testing.assert_close(logits(converted, video), expected,
                               **TOLERANCE)
    convert(dst, back, 'vifi', 'open_clip')
    add_model(json_file)
    theirs = open_clip.create_model(json_file.stem, pretrained=str(back))
    assert isinstance(theirs, CustomTextCLIP) == custom_text
    torch.testing.assert_close(clip_logits(theirs.eval(), video), expected,
                               **TOLERANCE)


@pytest.mark.filterwarnings('ignore')
def test_openai(clip, tmp_path, video):
    source = copy.deepcopy(clip).half().float()  # what its file can hold
    src, dst = tmp_path / 'ViT.pt', tmp_path / 'dst.pth'
    save_openai(source, src)
    report = convert(src, dst, 'openai', 'vifi')
    assert set(report['dropped']) == {
        'input_resolution', 'context_length', 'vocab_size', 'attn_mask'}
    converted, settings = ours(dst)
    assert settings['visual_activation'] == 'QuickGELU'
    assert 'pixel_mean' not in settings  # a bare CLIP was made by no config
    torch.testing.assert_close(
        logits(converted, video), clip_logits(source, video), **TOLERANCE)


@pytest.mark.parametrize('act, heads, safe', [
    ('quick_gelu', 1, True), ('gelu', 4, False)])
def test_transformers(tmp_path, files, refused, video, act, heads, safe):
    source = transformers_clip(act, heads)
    folder, dst = tmp_path / 'hf', tmp_path / 'dst.pth'
    source.save_pretrained(folder)
    src = folder
    if not safe:
        os.remove(folder / 'model.safetensors')
        src = folder / 'pytorch_model.bin'
        torch.save(source.state_dict(), src)
    report = convert(src, dst, 'transformers', 'vifi')
    assert not report['dropped'] and set(report['used']) == set(
        source.state_dict())
    with torch.no_grad():
        expected = source(input_ids=class_tokens(NAMES),
                          pixel_values=video[:, 0]).logits_per_image
    converted, settings = ours(dst)
    assert settings['text_activation'] == (
        'QuickGELU' if act == 'quick_gelu' else 'GELU')
    assert settings['visual_heads'] == 2 * heads
    frame = video[:, :1].expand(-1, 2, -1, -1, -1)
    torch.testing.assert_close(logits(converted, frame), expected,
                               **TOLERANCE)
    if (act, heads) != ('quick_gelu', 1):  # config.json knows better
        refused(src, 'transformers', 'vifi', '--arch', files / 'arch.json',
                names=['visual_heads', 'text_activation'])
