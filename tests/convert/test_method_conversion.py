"""Files of ActionCLIP, of MMAction2's port of it and of Ju et al. to ours."""
import json
import math
import re
from pathlib import Path

import commands
import pytest
import torch
from matrix_world import clear_knobs
from mmaction.registry import MODELS
from release_file import ARCH, NAMES, randomise
from tiny import model_cfg

from projects.vifi_clip.checkpoints.files import load_checkpoint

T = 4
TRANSF = dict(type='TemporalTransformer', depth=2, max_frames=9)
HEADS = dict(
    transf=TRANSF, lstm=dict(type='TemporalLSTM'),
    conv1d=dict(type='TemporalConv', reinterpret=True),
    transf_cls=dict(type='TemporalClassToken', num_frames=T, depth=2))
# Our names behind `temporal.` to those of the head, written from what is
# known of it.
HEAD_NAMES = [
    (r'^positions\.weight', 'frame_position_embeddings.weight'),
    (r'^positions$', 'transformer.pos_embed'),
    (r'^token$', 'transformer.cls_token'),
    (r'^encoder', 'transformer.transformer_enc'),
    (r'^blocks', 'transformer.resblocks'), ('^lstm', 'lstm_visual'),
    ('^conv', 'shift')]


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    clear_knobs(monkeypatch)


def build(temporal, prompts=None, backbone=(), **kwargs):
    cfg = model_cfg(num_frames=T, **kwargs)
    cfg['backbone'].update(backbone)
    head = cfg['cls_head']
    head.update(temporal=temporal, in_channels=None)
    head['text_classifier'].update(
        arch=ARCH, class_names=NAMES, templates='{}', prompts=prompts)
    cfg['backbone'].update(arch=ARCH)
    return MODELS.build(cfg).eval()


def split(model):
    """Its CLIP by OpenAI's names, and what is beside it by ours."""
    clip, parts = {}, {}
    for key, value in model.state_dict().items():
        name = re.sub(r'^backbone\.|^cls_head\.(text_classifier\.(text\.)?)?',
                      '', key)
        own = name.startswith(('temporal.', 'prompts.'))
        (parts if own else clip)[name] = value.clone()
    return clip, parts


def head_names(parts):
    named = {}
    for key, value in parts.items():
        key = key.removeprefix('temporal.')
        for ours, theirs in HEAD_NAMES:
            key = re.sub(ours, theirs, key)
        named[key] = value
    return named


def convert(src, dst, source) -> dict:
    assert commands.vifi('convert', src, dst, f'--source={source}',
                         '--target=vifi') == 0
    return json.loads(Path(f'{dst}.report.json').read_text())


@torch.no_grad()
def assert_same(dst, model, other):
    """The file makes ``other`` what ``model`` is."""
    checkpoint = load_checkpoint(str(dst))
    other.load_state_dict(checkpoint['state_dict'])
    video = torch.randn(2 * T, 3, 32, 32)
    expected = model.cls_head(model.backbone(video))
    assert expected.std() > 1e-3
    torch.testing.assert_close(other.cls_head(other.backbone(video)),
                               expected, atol=1e-5, rtol=0)
    return checkpoint['meta']['vifi_clip']


def assert_listed(report, given, dropped=()):
    assert set(report['used']) | set(report['dropped']) == given
    assert set(report['dropped']) == set(dropped)


@pytest.mark.parametrize('kind', HEADS)
def test_actionclip(tmp_path, kind):
    model = randomise(build(HEADS[kind]))
    clip, parts = split(model)
    fusion, dropped = head_names(parts), []
    if kind != 'transf':  # they have it, and do not use it
        unused = 'frame_position_embeddings.weight'
        fusion[unused] = torch.randn(77, 32)
        dropped = [f'fusion.{unused}']
    src, dst = tmp_path / 'src.pt', tmp_path / 'dst.pth'
    torch.save(dict(
        model_state_dict=clip, fusion_model_state_dict={
            f'module.{key}': value for key, value in fusion.items()},
        epoch=3, optimizer_state_dict={}), src)
    report = convert(src, dst, 'actionclip')
    assert_listed(report, {*clip, *(f'fusion.{key}' for key in fusion)},
                  dropped)
    assert f'TEMPORAL={kind}' in ' '.join(report['notes'])
    settings = assert_same(dst, model, build(HEADS[kind]))
    assert len(settings['templates']) == 16
    assert settings['pixel_mean'] == [122.771, 116.746, 104.094]


def test_mmactions_port(tmp_path):
    model = randomise(build(TRANSF))
    clip, parts = split(model)
    state = {f'clip.{key}': value for key, value in clip.items()}
    state.update((f'adapter.{key}', value)
                 for key, value in head_names(parts).items())
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(dict(meta={}, state_dict=state), src)
    report = convert(src, dst, 'actionclip')
    assert_listed(report, set(state))
    assert 'eps=1e-5' in ' '.join(report['notes'])
    assert_same(dst, model, build(TRANSF))


def test_efficient_prompting(tmp_path):
    temporal = dict(TRANSF, residual=False)
    prompts = dict(type='ContextPrompts', before=3, behind=4)
    model = randomise(build(temporal, prompts))
    clip, parts = split(model)
    state = {f'clipmodel.{key}': value for key, value in clip.items()}
    for key, value in parts.items():
        for ours, theirs in (('prompts.table', 'embedding'),
                             ('temporal.positions', 'temporalEmbedding'),
                             ('temporal.blocks',
                              'temporalModelling.resblocks')):
            key = key.replace(ours, theirs)
        state[key] = value
    state['clipmodel.logit_scale'] = torch.tensor(4.6052)
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(dict(state_dict=state, optimizer={}, iteration=1100), src)
    report = convert(src, dst, 'efficient_prompting')
    assert_listed(report, set(state), ['clipmodel.logit_scale'])
    model.cls_head.logit_scale.data.fill_(math.log(1 / 0.07))
    settings = assert_same(dst, model, build(temporal, prompts))
    assert settings['templates'] == ['{}'] and settings['tune'] == 'prompts'
    assert settings['text_prompts'] == dict(
        length=32, depth=1, words='', before=16, behind=16)


@pytest.mark.parametrize('kind', ['open_vclip', 'froster'])
def test_open_vclip_and_froster(tmp_path, kind):
    """SlowFast's file; another CLIP, a head and projectors in it are left
    out, in whatever order they are."""
    neighbours = dict(type='NeighbourBackbone', num_frames=T)
    head = dict(fusion='decision')
    model = randomise(build(None, head=head, backbone=neighbours))
    clip, _ = split(model)
    state = {f'model.{key}': value for key, value in clip.items()}
    other = {f'raw_model.{key}': value + 1 for key, value in clip.items()}
    other.update({'head': torch.randn(4, 32), **{
        f'projector_{part}.{i}.weight': torch.randn(32, 32)
        for part in 'vt' for i in (0, 2)}})
    src, dst = tmp_path / 'checkpoint_epoch_00022.pyth', tmp_path / 'dst.pth'
    both = (state, other) if kind == 'open_vclip' else (other, state)
    torch.save(dict(epoch=21, cfg='TRAIN: {}', optimizer_state=dict(
        state={}, param_groups=[{}]), model_state={**both[0], **both[1]}), src)
    report = convert(src, dst, kind)
    assert_listed(report, {*state, *other}, other)
    built = build(None, head=head, backbone=neighbours)
    settings = assert_same(dst, model, built)
    open_vclip = kind == 'open_vclip'
    assert len(settings['templates']) == 29 - open_vclip
    assert settings['descriptions'] != open_vclip
    assert settings['tune'] == ('image' if open_vclip else 'both')
    assert (settings['neighbours'], settings['fusion']) == (1, 'decision')
    assert settings['pixel_mean'] == [122.771, 116.746, 104.094]


def test_what_no_other_layout_holds(tmp_path, capsys):
    model = build(TRANSF)
    clip, parts = split(model)
    src = tmp_path / 'src.pth'
    torch.save({**{f'clip.{k}': v for k, v in clip.items()}, **{
        f'adapter.{k}': v for k, v in head_names(parts).items()}}, src)
    for source, target, said in (
            ('actionclip', 'open_clip', 'temporal.'),
            ('openai', 'vifi', '--source actionclip'),
            ('efficient_prompting', 'vifi', '--source actionclip')):
        commands.refused(
            capsys, 'convert', src, tmp_path / 'dst.pth',
            f'--source={source}', f'--target={target}', names=said)
    assert not (tmp_path / 'dst.pth').exists()
