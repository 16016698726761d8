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


def tc_clip_file(model, prompts):
    """Its weights by the names of the release, but for token embeddings, and
    those that are to be left out."""
    state, dropped = {}, {
        'image_encoder.transformer.resblocks.0.attn.local_global_bias_table':
        torch.ones(2, 1, 2)}
    for key, value in split(model)[0].items():
        name = ('image_encoder.' + key[7:] if key.startswith('visual.') else
                key if key == 'logit_scale' else f'text_encoder.{key}')
        if key == 'context_bias':
            for i, table in enumerate(value, 1):
                state['image_encoder.transformer.resblocks.'
                      f'{i}.attn.local_global_bias_table'] = table[:, None]
        elif key.startswith('visual.') and '.in_proj_' in key:
            for part, third in zip('qkv', value.chunk(3)):
                state[name.replace('in_proj_', f'{part}_proj.')] = third
        elif key.startswith('prompt_layer.'):
            state['text_encoder.prompt_generation_layer.0.' + key[13:]] = value
        elif key != 'token_embedding.weight':
            state[name] = value
    if prompts:
        text = model.cls_head.text_classifier
        state['prompt_learner.ctx'] = text.prompts.tokens[0].detach()
        words = text.text.token_embedding.weight.detach()[text.tokens]
        dropped.update({'prompt_learner.token_prefix': words[:, :1],
                        'prompt_learner.token_suffix': words[:, 5:],
                        'prompt_learner.complete_text_embeddings': words})
    return state, dropped


@pytest.mark.parametrize('prompts', [False, True])
def test_tc_clip(tmp_path, capsys, prompts):
    arch = dict(ARCH, embed_dim=64)

    def build_tc_clip():
        cfg = model_cfg(num_frames=T)
        cfg['backbone'] = dict(
            type='ContextBackbone', num_frames=None, arch=arch, length=6,
            give_context=prompts)
        cfg['cls_head'].update(in_channels=None)
        text = cfg['cls_head']['text_classifier']
        text.update(arch=arch, class_names=NAMES)
        if prompts:
            text.update(type='VideoTextClassifier', prompts=dict(
                length=4, depth=1, init='a photo of a'))
        return MODELS.build(cfg).eval()

    model = randomise(build_tc_clip())
    state, dropped = tc_clip_file(model, prompts)
    src, clip, dst = (tmp_path / f'{name}.pth'
                      for name in ('src', 'clip', 'dst'))
    torch.save(dict(model={f'module.{key}': value for key, value in {
        **state, **dropped}.items()}, epoch=9, max_accuracy=80.), src)
    torch.save(split(model)[0], clip)
    words = ['convert', src, dst, '--source=tc_clip', '--target=vifi']
    commands.refused(capsys, *words, names='--clip FILE')
    assert commands.vifi(*words, f'--clip={clip}') == 0
    report = json.loads(Path(f'{dst}.report.json').read_text())
    assert_listed(report, {*state, *dropped}, dropped)
    assert len(report['missing']) == 1
    assert ('CONTEXT_PROMPTS=on' in ' '.join(report['notes'])) == prompts
    settings = assert_same(dst, model, build_tc_clip())
    assert settings['context'] == dict(length=96, ratio=0.3, step=100)
    assert settings['templates'] == [
        '{}.' if prompts else 'a photo of a {}.']
    assert settings['text_prompts'] == (
        dict(length=4, depth=1, words='') if prompts else None)
    commands.refused(
        capsys, 'convert', dst, tmp_path / 'no.pt', '--source=vifi',
        '--target=open_clip', names='context_bias')


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
