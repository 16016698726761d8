"""Models of ours as transformers' CLIPModel: it loads, and has our logits."""
import json
from pathlib import Path

import commands
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from PIL import Image
from release_file import randomise
from tiny import NAMES, PROMPTS, build_model, model_cfg, tiny_arch
from tools_world import PREPROCESSOR
from transformers import CLIPModel, CLIPProcessor

from projects.vifi_clip.checkpoints.settings import collect_settings

T = 3


def save(path, **changes):
    """A tiny recognizer with random weights, and its checkpoint."""
    cfg = model_cfg(num_frames=T, data_preprocessor=PREPROCESSOR, **changes)
    cfg['cls_head']['text_classifier']['templates'] = ['a video of {}']
    model = randomise(MODELS.build(cfg)).eval()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model, cfg))), path)
    return model


def convert(src, folder, *args) -> dict:
    dst = folder / 'model.safetensors'
    assert commands.vifi('convert', src, dst, '--source=vifi',
                         '--target=transformers', *args) == 0
    return json.loads(Path(f'{dst}.report.json').read_text())


@torch.no_grad()
def their_logits(folder, model, video):
    """Of transformers, with the files of the folder alone."""
    theirs = CLIPModel.from_pretrained(folder).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    tokens = processor.tokenizer(
        [f'a video of {name.replace("_", " ")}' for name in NAMES],
        padding=True, return_tensors='pt')
    text = theirs.get_text_features(**tokens)
    frames = theirs.get_image_features(pixel_values=video.flatten(0, 1))
    text, frames = (getattr(out, 'pooler_output', out)
                    for out in (text, frames))
    frames = frames.unflatten(0, video.shape[:2])
    ours = model.extract_feat(video)[0].unflatten(0, video.shape[:2])
    torch.testing.assert_close(ours.flatten(2), frames, atol=1e-5, rtol=0)
    return theirs.logit_scale.exp() * F.normalize(
        frames.mean(1), dim=-1) @ F.normalize(text, dim=-1).T


@torch.no_grad()
def our_logits(model, video):
    return model.cls_head(model.extract_feat(video)[0])


@pytest.mark.parametrize('quick', [True, False])
def test_equal_logits(tmp_path, quick):
    arch = tiny_arch(quick_gelu=quick)
    parts = dict(
        backbone=dict(type='CLIPVisionBackbone', arch=arch),
        head=dict(text_classifier=dict(
            type='CLIPTextClassifier', arch=arch, class_names=NAMES)))
    model = save(tmp_path / 'a.pth', **parts)
    report = convert(tmp_path / 'a.pth', tmp_path / 'hf')
    assert not report['dropped'] and not report['missing']
    video = torch.randn(2, T, 3, 32, 32)
    expected = our_logits(model, video)
    assert expected.std() > 1e-3
    torch.testing.assert_close(
        their_logits(tmp_path / 'hf', model, video), expected, atol=1e-5,
        rtol=0)
    # and back, by the config alone
    back = tmp_path / 'back.pth'
    assert commands.vifi('convert', tmp_path / 'hf', back, '--target=vifi',
                         '--source=transformers') == 0
    again = torch.load(back)['state_dict']
    assert all(torch.equal(value, again[key])
               for key, value in model.state_dict().items())


def test_pixels_and_tokens(tmp_path):
    model = save(tmp_path / 'a.pth')
    convert(tmp_path / 'a.pth', tmp_path / 'hf')
    processor = CLIPProcessor.from_pretrained(tmp_path / 'hf')
    pixels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    torch.testing.assert_close(
        processor.image_processor(picture, return_tensors='pt')[
            'pixel_values'][0],
        model.data_preprocessor(dict(inputs=[pixels[None]],
                                     data_samples=[None]))['inputs'][0, 0],
        atol=1e-5, rtol=0)
    sentences = ["It's 3 o'clock, naïve café!", 'a  video of snow_boarding',
                 'Ünïcode 日本 🎿', 'a\tb']
    theirs = processor.tokenizer(
        sentences, padding='max_length', max_length=24, return_tensors='pt')
    ours = model.cls_head.text_classifier.tokenizer(sentences)
    for row, mask, own in zip(theirs.input_ids, theirs.attention_mask, ours):
        assert row[mask.bool()].tolist() == own[own > 0].tolist()


def test_what_it_cannot_hold(tmp_path, capsys):
    """Each is refused with a way out, and nothing is written."""
    for name, remedy, changes in (
            ('prompts', '--drop-prompts', dict(
                prompts=PROMPTS, tune='prompts')),
            ('adapter', 'export', dict(tune='adapters', backbone=dict(
                type='STAdapterBackbone', arch=tiny_arch(), num_frames=T))),
            ('temporal', 'export', dict(head=dict(temporal=dict(
                type='TemporalTransformer', max_frames=T, depth=1)))),
            ('neighbours', 'export', dict(backbone=dict(
                type='NeighbourBackbone', arch=tiny_arch(), num_frames=T)))):
        src, dst = tmp_path / f'{name}.pth', tmp_path / 'hf/model.safetensors'
        save(src, **changes)
        commands.refused(capsys, 'convert', src, dst, '--source=vifi',
                         '--target=transformers', names=[src, name, remedy])
        assert not list(dst.parent.glob('*'))
    report = convert(tmp_path / 'prompts.pth', tmp_path / 'hf',
                     '--drop-prompts')
    assert len(report['dropped']) == 2
    assert CLIPModel.from_pretrained(tmp_path / 'hf')
    commands.refused(
        capsys, 'convert', src, tmp_path / 'hf/other.safetensors',
        '--source=vifi', '--target=transformers', names='model.safetensors')
    (tmp_path / 'hf/model.safetensors').unlink()
    commands.refused(
        capsys, 'convert', src, tmp_path / 'hf/model.safetensors',
        '--source=vifi', '--target=transformers', '--report',
        tmp_path / 'report.json', names='config.json')


def test_lora_is_folded(tmp_path):
    model = save(tmp_path / 'a.pth', tune='adapters', lora=dict(rank=2))
    video = torch.randn(2, T, 3, 32, 32)
    convert(tmp_path / 'a.pth', tmp_path / 'hf')
    torch.testing.assert_close(
        their_logits(tmp_path / 'hf', model, video), our_logits(model, video),
        atol=1e-5, rtol=0)


def test_other_towers(tmp_path, capsys):
    arch = tiny_arch(vision_cfg=dict(no_ln_pre=True))
    model = build_model(
        backbone=dict(type='CLIPVisionBackbone', arch=arch),
        head=dict(text_classifier=dict(
            type='CLIPTextClassifier', arch=arch, class_names=NAMES)))
    cfg = dict(backbone=dict(arch=arch))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model, cfg))), tmp_path / 'a.pth')
    commands.refused(
        capsys, 'convert', tmp_path / 'a.pth', tmp_path / 'model.safetensors',
        '--source=vifi', '--target=transformers', names='no_ln_pre')
