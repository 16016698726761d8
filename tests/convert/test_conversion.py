"""Checkpoints of every layout, against independent models: same logits; and
what conversion refuses."""
import copy
import json
import os
import sys
from pathlib import Path

import commands
import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.model import CLIP, CustomTextCLIP
from release_file import (ARCH, NAMES, PROMPTS, Intruder, randomise,
                          release_model, save_openai, transformers_clip,
                          write_release_file)
from tiny import class_tokens, model_cfg

from projects.vifi_clip.checkpoints.files import load_checkpoint
from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                     fingerprint)
from projects.vifi_clip.models.towers import read_clip_state_dict
from projects.vifi_clip_tools.convert.arch import expected_weights, infer_arch

TOLERANCE = dict(atol=1e-5, rtol=0)
_KEY = 'visual.transformer.resblocks.1.mlp.c_fc.weight'


def convert(src, dst, source, target, *args) -> dict:
    """Run ``vifi-clip convert``; return its report."""
    assert commands.vifi('convert', src, dst, f'--source={source}',
                         f'--target={target}', *args) == 0
    return json.loads(Path(f'{dst}.report.json').read_text())


def ours(path, video, expected):
    """Our recognizer with a converted file in it, and the file's settings;
    checks that it has the logits that are expected."""
    checkpoint = load_checkpoint(str(path))
    settings = checkpoint['meta']['vifi_clip']
    cfg = model_cfg()
    backbone, text = cfg['backbone'], cfg['cls_head']['text_classifier']
    text.update(class_names=NAMES, templates=settings.get('templates'))
    backbone['type'] = 'VLDeepPromptBackbone'
    for part, name in (backbone, 'visual'), (text, 'text'):
        prompts = dict(settings.get(f'{name}_prompts') or {})
        if prompts.pop('words', None):
            prompts['init'] = 'a photo of a'
        part.update(arch=settings['arch'], prompts=prompts or None)
    model = MODELS.build(cfg).eval()
    model.load_state_dict(checkpoint['state_dict'])
    torch.testing.assert_close(logits(model, video), expected, **TOLERANCE)
    return model, settings


@torch.no_grad()
def logits(model, video):
    return model.cls_head(model.backbone(video.flatten(0, 1)))


@torch.no_grad()
def clip_logits(model, video):
    """Of an OpenCLIP model, for the classes' usual sentences."""
    text = model.encode_text(class_tokens(NAMES), normalize=True)
    frames = model.encode_image(video.flatten(0, 1))
    frames = F.normalize(frames.unflatten(0, video.shape[:2]).mean(1), dim=-1)
    return model.logit_scale.exp() * frames @ text.T


@pytest.fixture(scope='session')
def clip() -> CLIP:
    return randomise(CLIP(**ARCH))


@pytest.fixture(scope='session')
def files(clip, tmp_path_factory):
    """A folder with the CLIP and what the release would have made of it."""
    folder = tmp_path_factory.mktemp('files')
    torch.save(clip.state_dict(), folder / 'clip.pt')
    for kind in 'plain', 'deep':
        write_release_file(release_model(clip, kind), folder / f'{kind}.pth')
    for name, more in dict(arch={}, gelu=dict(quick_gelu=False)).items():
        (folder / f'{name}.json').write_text(json.dumps(dict(ARCH, **more)))
    return folder


@pytest.fixture
def video():
    return torch.randn(2, 2, 3, 32, 32)


@pytest.fixture
def add_model(monkeypatch):
    """OpenCLIP's ``add_model_config``, for one test."""
    factory = open_clip.factory
    for name in '_MODEL_CONFIG_PATHS', '_MODEL_CONFIGS':
        monkeypatch.setattr(factory, name, getattr(factory, name).copy())
    return open_clip.add_model_config


@pytest.fixture
def refused(capsys, files, tmp_path):
    """Check that a conversion is refused and writes nothing."""

    def state():
        return {path: path.lstat().st_mtime_ns for folder in (files, tmp_path)
                for path in folder.rglob('*')}

    def check(src, source, target='vifi', *more,
              dst=tmp_path / 'refused.pth', names=()):
        before = state()
        commands.refused(capsys, 'convert', src, dst, f'--source={source}',
                         f'--target={target}', *more, names=names)
        assert state() == before

    return check


@pytest.mark.parametrize('kind, legacy', [
    *((kind, False) for kind in PROMPTS), ('deep', True)])
def test_release_there_and_back(clip, files, tmp_path, video, kind, legacy):
    model, clip_file = release_model(clip, kind), str(files / 'clip.pt')
    src, dst, back = (tmp_path / n for n in ('src.pth', 'a.pth', 'back.pth'))
    write_release_file(model, src, Intruder(tmp_path / 'ran'),
                       _use_new_zipfile_serialization=not legacy)
    report = convert(src, dst, 'release', 'vifi', '--clip', clip_file)
    # nothing in the file runs
    assert 'yacs_like' not in sys.modules and not (tmp_path / 'ran').exists()
    with torch.no_grad():
        expected = model(video)
    assert expected.std() > 1e-3
    converted, settings = ours(dst, video, expected)
    # the account is complete
    used, dropped = report['used'], report['dropped']
    assert set(used) | set(dropped) == set(model.state_dict())
    assert set(dropped) == {name for name, _ in model.named_buffers()}
    assert report['missing'] == {
        'cls_head.text_classifier.text.token_embedding.weight': clip_file}
    assert {key for keys in used.values() for key in keys} | set(
        report['missing']) == set(converted.state_dict())
    # what it was made with
    template, tune = (('{}.', 'prompts') if 'text_depth' in PROMPTS[kind] else
                      ('a photo of a {}.', 'both'))
    assert dict(num_frames=2, arch=ARCH, templates=[template], tune=tune,
                pixel_mean=[123.675, 116.28, 103.53]
                ).items() <= settings.items()

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
    assert ours(dst, video, expected)[1]['arch'] == arch
    convert(dst, back, 'vifi', 'open_clip')
    add_model(json_file)
    theirs = open_clip.create_model(json_file.stem, pretrained=str(back))
    assert isinstance(theirs, CustomTextCLIP) == custom_text
    torch.testing.assert_close(clip_logits(theirs.eval(), video), expected,
                               **TOLERANCE)


@pytest.mark.filterwarnings('ignore')
def test_openai(clip, tmp_path, video):
    source = copy.deepcopy(clip).half().float()  # what its file can hold
    src, dst = tmp_path / 'ViT.pt', tmp_path / 'new' / 'dst.pth'
    save_openai(source, src)
    report, other = convert(src, dst, 'openai', 'vifi'), tmp_path / 'r.json'
    convert(src, dst, 'openai', 'vifi', '--force', '--report', other)
    assert json.loads(other.read_text()) == report
    assert set(os.listdir(dst.parent)) == {'dst.pth', 'dst.pth.report.json'}
    assert set(report['dropped']) == {
        'input_resolution', 'context_length', 'vocab_size', 'attn_mask'}
    _, settings = ours(dst, video, clip_logits(source, video))
    assert settings['visual_activation'] == 'QuickGELU'
    assert 'pixel_mean' not in settings  # a bare CLIP was made by no config


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
    _, settings = ours(dst, video[:, :1].expand(-1, 2, -1, -1, -1), expected)
    assert settings['text_activation'] == (
        'QuickGELU' if act == 'quick_gelu' else 'GELU')
    assert settings['visual_heads'] == 2 * heads
    if act == 'gelu':  # config.json knows better
        refused(src, 'transformers', 'vifi', '--arch', files / 'arch.json',
                names=['visual_heads', 'text_activation'])


def test_refusals_write_nothing(files, tmp_path, refused):
    release, clip, folder = files / 'plain.pth', files / 'clip.pt', tmp_path
    link, arch = folder / 'link.pth', folder / 'arch.json'
    link.symlink_to('other.pth')
    arch.write_text(json.dumps(ARCH))
    (folder / 'there.pth').write_text('precious')
    cut = folder / 'cut.pth'
    cut.write_bytes(release.read_bytes()[:5000])
    with_arch = ['--force', '--arch', arch]
    o = folder / 'o.pth'
    for src, dst, more, names in (
            (files / 'nowhere.pth', o, [], 'nowhere.pth'),
            (release, release, ['--force'], 'DST'),
            (release, clip, ['--force'], 'DST'),
            (release, folder, ['--force'], 'DST'),
            (release, '/proc/o.pth', [], 'DST'),
            (release, '', [], 'DST'),
            (release, folder / 'there.pth', [], '--force'),
            (release, o, ['--report', folder / 'there.pth'], '--report'),
            (cut, o, [], 'cut.pth'),
            (release, o, ['--source=vifi'], '--source release'),
            (release, o, ['--arch=ViT-B-61'], 'ViT-B-61'),
            (release, folder / 'o.safetensors', [], 'o.safetensors'),
            (release, o, ['--drop-prompts'], '--drop-prompts'),
            (release, o, ['--report', o], '--report'),
            (release, link, ['--report', folder / 'other.pth', '--force'],
             '--report'),
            (release, arch, with_arch, 'DST'),
            (release, o, [*with_arch, '--report', arch], '--report')):
        refused(src, 'release', 'vifi', '--clip', clip, *more, dst=dst,
                names=names)


def test_a_released_file_needs_its_own_base(files, clip, tmp_path, refused):
    refused(files / 'plain.pth', 'release', names='--clip')
    state = dict(clip.state_dict())
    state['token_embedding.weight'] = torch.randn(49408, 64)
    torch.save(state, tmp_path / 'other.pt')
    del state['token_embedding.weight']
    torch.save(state, tmp_path / 'none.pt')
    for name in 'other.pt', 'none.pt':
        refused(files / 'plain.pth', 'release', 'vifi', '--clip',
                tmp_path / name, names=['--clip', name])


def test_wrong_architectures(files, tmp_path, refused):
    clip, gelu = files / 'clip.pt', files / 'gelu.json'
    refused(clip, 'openai', 'vifi', '--arch=ViT-B-16-quickgelu', names=[
        clip, 'ViT-B-16-quickgelu',
        'visual.conv1.weight: file (128, 3, 8, 8), model (768, 3, 16, 16)',
        'missing from the file: visual.transformer.resblocks.3'])
    refused(clip, 'openai', 'vifi', '--arch', gelu, names='text_activation')
    # the other way, for a reader that computes QuickGELU alone
    dst = tmp_path / 'gelu.pth'
    convert(clip, dst, 'open_clip', 'vifi', '--arch', gelu)
    refused(dst, 'vifi', 'release', names='GELU and 2 heads')


@pytest.mark.parametrize('name', [
    'ViT-B-16', 'ViT-B-16-quickgelu', 'ViT-L-14-336-quickgelu', 'ViT-H-14',
    'RN50-quickgelu'])
def test_named_architectures_are_told_from_the_shapes(name):
    assert infer_arch(expected_weights(name), 'quickgelu' in name, {}) == name


def test_what_a_file_states_is_not_fetched_or_built_at_any_size(
        files, tmp_path, refused):
    path = tmp_path / 'a.pth'
    convert(files / 'clip.pt', path, 'openai', 'vifi')
    content = load_checkpoint(str(path))
    for arch, named in (
            (str(files / 'arch.json'), '--arch'),
            *((dict(ARCH, vision_cfg=dict(timm_model_name=name)), '--arch')
              for name in ('hf-hub:a/b', f'local-dir:{tmp_path}')),
            *((dict(ARCH, **{part: dict(ARCH[part], layers=10**9)}),
               '1000000000 layers') for part in ('vision_cfg', 'text_cfg'))):
        content['meta']['vifi_clip']['arch'] = arch
        torch.save(content, path)
        refused(path, 'vifi', 'open_clip', names=[path, named])


def test_json_files_that_are_none(files, tmp_path, refused):
    """Of an architecture, and of the parts of a CLIPModel."""
    arch = tmp_path / 'arch.json'
    for content in (
            '3', '[]', '{',
            '{"embed_dim": "x", "vision_cfg": [], "text_cfg": 3}',
            '{"embed_dim": 16, "vision_cfg": {"width": "a"}, "text_cfg": {}}',
            json.dumps(dict(ARCH, vision_cfg=dict(ARCH['vision_cfg'],
                                                  head_width=0)))):
        arch.write_text(content)
        refused(files / 'clip.pt', 'openai', 'vifi', '--arch', arch,
                names='arch')
    torch.save([torch.zeros(1)], tmp_path / 'part.bin')
    for content in ('[]', '{', '{}', '{"weight_map": {"a": 3}}',
                    '{"weight_map": {"a": "part.bin"}}'):
        (tmp_path / 'pytorch_model.bin.index.json').write_text(content)
        refused(tmp_path, 'transformers', names=[tmp_path])


def test_a_file_of_what_was_trained(clip, files, tmp_path, video, refused):
    """Learnt prompts alone, as save_trainable_only leaves them."""
    cfg = model_cfg(prompts=dict(length=3, depth=2), tune='prompts',
                    save_trainable_only=True)
    text, clip_file = cfg['cls_head']['text_classifier'], files / 'clip.pt'
    text.update(arch=ARCH, class_names=NAMES, pretrained=str(clip_file))
    cfg['backbone'].update(arch=ARCH, pretrained=str(clip_file))
    model = MODELS.build(cfg).eval()
    state = model.state_dict()
    assert len(state) == 2
    settings = collect_settings(model, cfg)
    settings['fingerprint'] = fingerprint(
        (n, p) for n, p in model.named_parameters() if n not in state)
    src, dst = tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.save(dict(state_dict=state, meta=dict(vifi_clip=settings)), src)
    refused(src, 'vifi', names='--clip')
    other = tmp_path / 'other.pt'
    torch.save({k: v + 0.1 for k, v in clip.state_dict().items()}, other)
    refused(src, 'vifi', 'vifi', '--clip', other, names=[other])
    convert(src, dst, 'vifi', 'vifi', '--clip', clip_file)
    _, settings = ours(dst, video, logits(model, video))
    assert 'fingerprint' not in settings


@pytest.mark.parametrize('key, change, said', [
    *((_KEY, change, _KEY) for change in (
        lambda w: w / 0, lambda w: w.long(),
        lambda w: w.double().fill_(1e300), lambda w: w.to(torch.complex64),
        lambda w: w.to_sparse(), lambda w: w.to('meta'))),
    ('logit_scale', lambda w: torch.zeros(3), 'logit_scale'),
    # shapes that make no tower
    ('visual.conv1.weight', lambda w: torch.zeros(3), '--arch'),
    ('visual.conv1.weight', lambda w: None, '--arch'),
    ('visual.positional_embedding', lambda w: torch.zeros(17), '--arch')])
def test_weights_that_cannot_be_used(clip, tmp_path, refused, key, change,
                                     said):
    state = clip.state_dict()
    state[key] = change(state[key])
    torch.save(dict(state), tmp_path / 'a.pt')
    refused(tmp_path / 'a.pt', 'openai', names=said)


def test_counts_of_batches_may_be_integers(tmp_path):
    """Those of a ResNet are."""
    model = CLIP(**dict(ARCH, vision_cfg=dict(
        image_size=32, layers=[1, 1, 1, 1], width=16)))
    torch.save(dict(state_dict=model.state_dict(),
                    meta='of another project'), tmp_path / 'a.pt')
    state = read_clip_state_dict(str(tmp_path / 'a.pt'))
    assert state['visual.bn1.num_batches_tracked'] == 0
