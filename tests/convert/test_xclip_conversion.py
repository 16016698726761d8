"""X-CLIP's files, of its release and of transformers, to ours and back."""
import json
import re
from pathlib import Path

import commands
import pytest
import torch
from mmaction.registry import MODELS
from release_file import NAMES, randomise
from tiny import class_tokens
from tiny_xclip import transformers_xclip, xclip_cfg
from transformers import XCLIPModel

from projects.vifi_clip.checkpoints.files import load_checkpoint

T = 4


def release_state(theirs):
    """Names of X-CLIP's release, written from its description."""
    state, new = theirs.state_dict(), {}
    for key, value in state.items():
        for old, name in (
                (r'text_model\.encoder\.layers', 'transformer.resblocks'),
                (r'vision_model\.encoder\.layers',
                 'visual.transformer.resblocks'),
                (r'mit\.encoder\.layers', 'mit.resblocks'),
                (r'\.self_attn', '.attn'), (r'layer_norm(\d)', r'ln_\1'),
                ('fc1', 'c_fc'), ('fc2', 'c_proj'),
                (r'prompts_generator\.layernorm', 'prompts_generator.norm'),
                ('prompts_visual_layernorm', 'prompts_visual_ln'),
                ('prompts_visual_projection', 'prompts_visual_proj'),
                (r'mit\.position_embedding', 'mit.positional_embedding'),
                (r'vision_model\.embeddings\.class', 'visual.class'),
                (r'vision_model\.embeddings\.patch_embedding', 'visual.conv1'),
                (r'vision_model\.embeddings\.position_embedding\.weight',
                 'visual.positional_embedding'),
                (r'vision_model\.pre_layernorm', 'visual.ln_pre'),
                (r'vision_model\.post_layernorm', 'visual.ln_post'),
                (r'visual_projection\.weight', 'visual.proj'),
                (r'text_projection\.weight', 'text_projection'),
                (r'text_model\.embeddings\.position_embedding\.weight',
                 'positional_embedding'),
                (r'text_model\.embeddings\.', ''),
                (r'text_model\.final_layer_norm', 'ln_final')):
            key = re.sub(old, name, key)
        new[key] = value.T if key in ('visual.proj', 'text_projection'
                                      ) else value
    for key in [key for key in new if re.search(r'_?attn\.q_proj', key)
                and 'cross' not in key]:
        new[key.replace('q_proj.', 'in_proj_')] = torch.cat(
            [new.pop(key.replace('q_proj', f'{part}_proj'))
             for part in 'qkv'])
    return {key: value.clone() for key, value in new.items()}


@pytest.fixture(scope='module')
def theirs():
    torch.manual_seed(0)
    return randomise(transformers_xclip(T))


def convert(src, dst, source, target):
    assert commands.vifi('convert', src, dst, f'--source={source}',
                         f'--target={target}') == 0
    return json.loads(Path(f'{dst}.report.json').read_text())


@torch.no_grad()
def logits_of(model, video):
    return model(input_ids=class_tokens(NAMES, template='{}'),
                 pixel_values=video).logits_per_video


@pytest.mark.parametrize('kind', ['transformers', 'xclip'])
def test_there_and_back(theirs, tmp_path, kind):
    if kind == 'xclip':
        src, back = tmp_path / 'k400.pth', tmp_path / 'back.pth'
        state = release_state(theirs)
        torch.save(dict(model={f'module.{k}': v for k, v in state.items()},
                        epoch=3), src)
    else:
        src, back = tmp_path / 'hf', tmp_path / 'back' / 'model.safetensors'
        theirs.save_pretrained(src)
        state = theirs.state_dict()
    dst = tmp_path / 'dst.pth'
    report = convert(src, dst, kind, 'vifi')
    assert set(report['used']) == set(state)
    assert not report['dropped'] and not report['missing']
    checkpoint = load_checkpoint(str(dst))
    settings = checkpoint['meta']['vifi_clip']
    assert dict(num_frames=T, templates=['{}'], fusion='embedding',
                pixel_mean=[123.675, 116.28, 103.53]
                ).items() <= settings.items()
    cfg = xclip_cfg(T, backbone=dict(arch=settings['arch']))
    cfg['cls_head']['text_classifier'].update(
        arch=settings['arch'], class_names=NAMES)
    ours = MODELS.build(cfg).eval()
    ours.load_state_dict(checkpoint['state_dict'])
    video = torch.randn(2, T, 3, 32, 32)
    expected = logits_of(theirs, video)
    assert expected.std() > 1e-3
    with torch.no_grad():
        torch.testing.assert_close(
            ours.cls_head(ours.extract_feat(video)[0]), expected, atol=1e-5,
            rtol=0)

    convert(dst, back, 'vifi', kind)
    if kind == 'transformers':
        other = XCLIPModel.from_pretrained(back.parent)
        torch.testing.assert_close(logits_of(other.eval(), video), expected)
    else:
        again = torch.load(back, weights_only=True)['model']
        assert again.keys() == state.keys()
        for key, value in again.items():
            assert torch.equal(value, state[key]), key


def test_refusals(theirs, tmp_path, capsys):
    torch.save(dict(model=release_state(theirs)), tmp_path / 'k400.pth')
    convert(tmp_path / 'k400.pth', tmp_path / 'vifi.pth', 'xclip', 'vifi')
    files = sorted(tmp_path.iterdir())
    for src, dst, source, target, names in (
            ('k400.pth', 'a.pt', 'openai', 'vifi', '--source xclip'),
            ('vifi.pth', 'a.pt', 'vifi', 'open_clip', 'messages'),
            ('vifi.pth', 'a.pt', 'vifi', 'release', 'messages'),
            ('vifi.pth', 'a.pt', 'vifi', 'transformers', 'model.safetensors'),
            ('vifi.pth', 'a.safetensors', 'vifi', 'xclip', 'a.safetensors')):
        commands.refused(
            capsys, 'convert', tmp_path / src, tmp_path / dst,
            f'--source={source}', f'--target={target}', names=names)
    assert sorted(tmp_path.iterdir()) == files
    (tmp_path / 'config.json').write_text('precious')
    commands.refused(
        capsys, 'convert', tmp_path / 'vifi.pth',
        tmp_path / 'model.safetensors', '--source=vifi',
        '--target=transformers', names='config.json')
