"""What conversion refuses, and what it does not run."""
import json
import os

import open_clip
import pytest
import torch
from conversion_world import TOLERANCE, convert, logits, ours, release_model
from mmaction.registry import MODELS
from release_file import ARCH, NAMES, write_release_file
from tiny import model_cfg

from projects.vifi_clip.checkpoints.files import load_checkpoint, load_weights
from projects.vifi_clip.checkpoints.inert_pickle import Inert


class _Intruder:
    """Unpickling it makes a folder."""

    def __init__(self, folder) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


class _Evaluator(_Intruder):

    def __reduce__(self):
        return eval, (f'__import__("os").mkdir({self.folder!r})', )


@pytest.mark.parametrize('kind', [_Intruder, _Evaluator])
@pytest.mark.parametrize('legacy', [False, True])
def test_nothing_in_a_released_file_runs(clip, clip_file, tmp_path, video,
                                         legacy, kind):
    model = release_model(clip, 'plain')
    src, dst = tmp_path / 'evil.pth', tmp_path / 'dst.pth'
    evil = tmp_path / 'ran'
    write_release_file(model, src, kind(evil),
                       _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match='--trust'):
        load_checkpoint(str(src))  # as ever
    convert(src, dst, '--source=release', '--target=vifi',
            f'--clip={clip_file}')
    content = load_weights(str(src))
    assert not evil.exists()
    assert isinstance(content['config'], Inert)
    assert 'yacs_like.config.CfgNode' in repr(content['config'])
    assert content['config']['TRAINER']['ViFi_CLIP']['USE'] == 'both'
    assert isinstance(content['config']['EXTRA'], Inert)
    assert content['max_accuracy'] == torch.tensor(71.2)
    with torch.no_grad():
        torch.testing.assert_close(
            logits(ours(dst)[0], video), model(video), **TOLERANCE)


@pytest.mark.parametrize('kind', ['plain', 'deep'])
def test_the_towers_of_a_release_file_as_pretrained(clip, tmp_path, kind):
    src = write_release_file(release_model(clip, kind), tmp_path / 'a.pth')
    backbone = MODELS.build(dict(type='CLIPVisionBackbone', arch=ARCH,
                                 pretrained=src))
    expected = release_model(clip, kind).image_encoder.proj
    assert torch.equal(backbone.visual.proj, expected)
    with pytest.raises(ValueError, match='token_embedding.weight'):
        MODELS.build(dict(type='CLIPTextClassifier', arch=ARCH,
                          class_names=NAMES, pretrained=src))


def test_a_released_file_needs_its_own_base(clip, clip_file, tmp_path):
    src, dst = tmp_path / 'a.pth', tmp_path / 'b.pth'
    write_release_file(release_model(clip, 'plain'), src)
    args = src, dst, '--source=release', '--target=vifi'
    with pytest.raises(ValueError, match='no token embeddings.*--clip FILE'):
        convert(*args)
    other = tmp_path / 'other.pt'
    state = dict(clip.state_dict())
    state['token_embedding.weight'] = torch.randn(49408, 64)
    torch.save(state, other)
    with pytest.raises(ValueError, match='start token'):
        convert(*args, f'--clip={other}')
    assert sorted(os.listdir(tmp_path)) == ['a.pth', 'other.pt']


def test_prompts_and_open_clip(clip, clip_file, arch_file, tmp_path, video):
    src, dst = tmp_path / 'a.pth', tmp_path / 'b.pt'
    write_release_file(release_model(clip, 'deep'), src)
    args = (src, dst, '--source=release', '--target=open_clip',
            f'--clip={clip_file}')
    with pytest.raises(ValueError, match='learnt prompts.*--drop-prompts'):
        convert(*args)
    assert not dst.exists()
    report = convert(*args, '--drop-prompts')
    assert 'image_encoder.VPT' in report.dropped
    assert 'prompt_learner.ctx' in report.dropped
    open_clip.create_model('tiny-release', pretrained=str(dst))


def test_wrong_architectures(clip, clip_file, tmp_path):
    dst = tmp_path / 'b.pth'
    args = clip_file, dst, '--source=openai', '--target=vifi'
    with pytest.raises(ValueError) as error:
        convert(*args, '--arch=ViT-B-16-quickgelu')
    message = str(error.value)
    assert clip_file in message and 'ViT-B-16-quickgelu' in message
    assert ('visual.conv1.weight: file (128, 3, 8, 8), model '
            '(768, 3, 16, 16)') in message
    assert 'missing from the file: visual.transformer.resblocks.3' in message
    gelu = tmp_path / 'gelu.json'
    gelu.write_text(json.dumps(dict(ARCH, quick_gelu=False)))
    with pytest.raises(ValueError, match="'QuickGELU' and not 'GELU'"):
        convert(*args, f'--arch={gelu}')
    # the other way, for a reader that computes QuickGELU alone
    convert(clip_file, dst, '--source=open_clip', '--target=vifi',
            f'--arch={gelu}')
    with pytest.raises(ValueError, match='computes QuickGELU.*GELU and 2'):
        convert(dst, tmp_path / 'c.pth', '--source=vifi', '--target=release')
    with pytest.raises(ValueError, match='not the layout of --source release'):
        convert(clip_file, tmp_path / 'c.pth', '--source=release',
                '--target=vifi')
    assert not (tmp_path / 'c.pth').exists()


@pytest.mark.parametrize('name', [
    'ViT-B-16', 'ViT-B-16-quickgelu', 'ViT-L-14-336-quickgelu', 'ViT-H-14',
    'RN50-quickgelu'])
def test_named_architectures_are_told_from_the_shapes(name):
    from projects.vifi_clip_tools.convert.arch import (expected_weights,
                                                       infer_arch)
    assert infer_arch(expected_weights(name), 'quickgelu' in name) == name


def test_a_file_of_what_was_trained(clip, clip_file, tmp_path, video):
    """Learnt prompts alone, as save_trainable_only leaves them."""
    from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                         fingerprint)
    cfg = model_cfg(prompts=dict(length=3, depth=2), tune='prompts',
                    save_trainable_only=True)
    text = cfg['cls_head']['text_classifier']
    text.update(arch=ARCH, class_names=NAMES, pretrained=clip_file)
    cfg['backbone'].update(arch=ARCH, pretrained=clip_file)
    cfg['cls_head']['in_channels'] = None
    model = MODELS.build(cfg).eval()
    for param in model.parameters():
        if param.requires_grad:
            torch.nn.init.normal_(param)
    state = model.state_dict()
    assert len(state) == 2
    settings = collect_settings(model, cfg)
    settings['fingerprint'] = fingerprint(
        (n, p) for n, p in model.named_parameters() if n not in state)
    src, dst = tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.save(dict(state_dict=state, meta=dict(vifi_clip=settings)), src)
    args = src, dst, '--source=vifi', '--target=vifi'
    with pytest.raises(ValueError, match='save_trainable_only.*--clip'):
        convert(*args)
    other = tmp_path / 'other.pt'
    torch.save({k: v + 0.1 for k, v in clip.state_dict().items()}, other)
    with pytest.raises(ValueError, match='fingerprints differ'):
        convert(*args, f'--clip={other}')
    convert(*args, f'--clip={clip_file}')
    whole, settings = ours(dst)
    assert 'fingerprint' not in settings
    torch.testing.assert_close(logits(whole, video), logits(model, video),
                               **TOLERANCE)
