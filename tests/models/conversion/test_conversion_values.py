"""Values, shapes and files that make no CLIP: one clear error each."""
import json
import os

import pytest
import torch
from conversion_world import convert, release_model
from mmaction.registry import MODELS
from open_clip.model import CLIP
from release_file import ARCH, NAMES, write_release_file
from safetensors.torch import save_file

from projects.vifi_clip.checkpoints.files import load_weights
from projects.vifi_clip.models.pretrained import read_clip_state_dict

_KEY = 'visual.transformer.resblocks.1.mlp.c_fc.weight'


def _first(value):
    def change(weight):
        weight = weight.clone()
        weight.view(-1)[0] = value
        return weight
    return change


_FAULTS = {
    'nan': (_first(float('nan')), 'has 1 of .* values that are not finite'),
    'inf': (_first(float('inf')), 'not finite'),
    'double': (lambda w: w.double().fill_(1e300), 'not finite'),
    'int': (lambda w: w.long(), 'of torch.int64, not of a floating'),
    'complex': (lambda w: w.to(torch.complex64), 'of torch.complex64'),
    'sparse': (lambda w: w.to_sparse(), 'is not dense'),
    'meta': (lambda w: w.to('meta'), 'has no values'),
}


@pytest.mark.parametrize('fault', _FAULTS)
def test_weights_that_are_no_numbers(clip, tmp_path, fault):
    change, said = _FAULTS[fault]
    state = dict(clip.state_dict())
    state[_KEY] = change(state[_KEY])
    src = tmp_path / 'a.pt'
    torch.save(state, src)
    said = f'{_KEY} .*{said}'
    with pytest.raises(ValueError, match=said):
        convert(src, tmp_path / 'b.pth', '--source=openai', '--target=vifi')
    with pytest.raises(ValueError, match=said):
        read_clip_state_dict(str(src))
    with pytest.raises(ValueError, match=said):
        MODELS.build(dict(type='CLIPVisionBackbone', arch=ARCH,
                          pretrained=str(src)))
    assert os.listdir(tmp_path) == ['a.pt']


def test_prompts_that_are_no_numbers(clip, clip_file, tmp_path):
    src = tmp_path / 'a.pth'
    write_release_file(release_model(clip, 'deep'), src)
    content = dict(load_weights(str(src)), config=None)
    key = 'module.image_encoder.VPT'
    content['model'][key] = content['model'][key].fill_(float('nan'))
    torch.save(content, src)
    with pytest.raises(ValueError, match='image_encoder.VPT has .*not fin'):
        convert(src, tmp_path / 'b.pth', '--source=release', '--target=vifi',
                f'--clip={clip_file}')


def test_values_that_are_not_used_may_be_anything(clip, tmp_path):
    """OpenAI's archives hold an attention mask of infinities."""
    state = dict(clip.state_dict(), input_resolution=torch.tensor(32),
                 attn_mask=torch.full((4, 4), float('-inf')))
    torch.save(state, tmp_path / 'a.pt')
    convert(tmp_path / 'a.pt', tmp_path / 'b.pth', '--source=openai',
            '--target=vifi')


def test_counts_of_a_resnet_are_no_fault(tmp_path):
    model = CLIP(**dict(ARCH, vision_cfg=dict(
        image_size=32, layers=[1, 1, 1, 1], width=16)))
    torch.save(model.state_dict(), tmp_path / 'a.pt')
    state = read_clip_state_dict(str(tmp_path / 'a.pt'))
    assert state['visual.bn1.num_batches_tracked'] == 0


@pytest.mark.parametrize('values', [3, 0])
def test_one_logit_scale(clip, tmp_path, values):
    state = dict(clip.state_dict(), logit_scale=torch.zeros(values))
    torch.save(state, tmp_path / 'a.pt')
    with pytest.raises(ValueError, match='logit_scale has the shape'):
        convert(tmp_path / 'a.pt', tmp_path / 'b.pth', '--source=openai',
                '--target=vifi')
    with pytest.raises(ValueError, match='logit_scale has the shape'):
        read_clip_state_dict(str(tmp_path / 'a.pt'))


@pytest.mark.parametrize('content', [
    '3', '[]', '{', '{"embed_dim": "x", "vision_cfg": [], "text_cfg": 3}',
    '{"embed_dim": 16, "vision_cfg": {"width": "a"}, "text_cfg": {}}',
    json.dumps(dict(ARCH, vision_cfg=dict(ARCH['vision_cfg'],
                                          head_width=0)))])
def test_an_arch_file_that_is_none(clip_file, tmp_path, content):
    arch = tmp_path / 'arch.json'
    arch.write_text(content)
    with pytest.raises(ValueError, match='arch'):
        convert(clip_file, tmp_path / 'b.pth', '--source=openai',
                '--target=vifi', f'--arch={arch}')
    assert os.listdir(tmp_path) == ['arch.json']


@pytest.mark.parametrize('content', [
    '[]', '{', '{}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_none(tmp_path, content):
    folder = tmp_path / 'hub'
    folder.mkdir()
    (folder / 'model.safetensors.index.json').write_text(content)
    with pytest.raises(ValueError, match='index.json is no index'):
        convert(folder, tmp_path / 'b.pth', '--source=transformers',
                '--target=vifi')


def test_a_part_that_holds_no_weights(tmp_path):
    folder = tmp_path / 'hub'
    folder.mkdir()
    (folder / 'pytorch_model.bin.index.json').write_text(
        '{"weight_map": {"a": "part.bin"}}')
    torch.save([torch.zeros(1)], folder / 'part.bin')
    with pytest.raises(ValueError, match='part.bin holds a list'):
        convert(folder, tmp_path / 'b.pth', '--source=transformers',
                '--target=vifi')


def test_a_clip_without_token_embeddings(clip, tmp_path):
    src, base = tmp_path / 'a.pth', tmp_path / 'clip.pt'
    write_release_file(release_model(clip, 'plain'), src)
    state = dict(clip.state_dict())
    del state['token_embedding.weight']
    torch.save(state, base)
    with pytest.raises(ValueError, match='clip.pt has no token embeddings'):
        convert(src, tmp_path / 'b.pth', '--source=release', '--target=vifi',
                f'--clip={base}')


@pytest.mark.parametrize('content', [
    [torch.zeros(1)], torch.zeros(1), dict(state_dict=[1]),
    dict(state_dict=None), dict(state_dict={'a': 'x'}), {1: torch.zeros(1)},
    dict(state_dict={1: torch.zeros(1)})], ids=repr)
def test_files_that_are_no_checkpoint(tmp_path, content):
    src = tmp_path / 'a.pth'
    torch.save(content, src)
    with pytest.raises(ValueError, match='a.pth holds'):
        convert(src, tmp_path / 'b.pth', '--source=openai', '--target=vifi')
    with pytest.raises(ValueError, match='a.pth holds'):
        read_clip_state_dict(str(src))


@pytest.mark.parametrize('meta', ['text', ['list']])
def test_another_projects_meta_is_no_hindrance(clip, tmp_path, meta):
    torch.save(dict(state_dict=clip.state_dict(), meta=meta),
               tmp_path / 'a.pt')
    convert(tmp_path / 'a.pt', tmp_path / 'b.pth', '--source=openai',
            '--target=vifi')


@pytest.mark.parametrize('changes', [
    {'visual.conv1.weight': torch.zeros(3)},
    {'visual.conv1.weight': None},
    {'visual.positional_embedding': torch.zeros(17)}])
def test_shapes_that_make_no_tower(clip, tmp_path, changes):
    state = dict(clip.state_dict(), **changes)
    save_file({k: v.contiguous() for k, v in state.items() if v is not None},
              tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match='cannot be told'):
        convert(tmp_path / 'a.safetensors', tmp_path / 'b.pth',
                '--source=openai', '--target=vifi')


def test_pretrained_tells_of_prompts_that_it_leaves_out(
        clip, clip_file, tmp_path, monkeypatch):
    from projects.vifi_clip.models import weights
    said = []
    monkeypatch.setattr(weights, 'print_log',
                        lambda text, *more: said.append((text, more)))
    src, dst = tmp_path / 'a.pth', tmp_path / 'b.pth'
    write_release_file(release_model(clip, 'deep'), src)
    convert(src, dst, '--source=release', '--target=vifi',
            f'--clip={clip_file}')
    assert not said
    MODELS.build(dict(type='CLIPVisionBackbone', arch=ARCH,
                      pretrained=str(dst)))
    MODELS.build(dict(type='CLIPTextClassifier', arch=ARCH,
                      class_names=NAMES, pretrained=str(dst)))
    warned = [text for text, more in said if 'learnt prompts' in text]
    assert [text.startswith(f'{dst} has learnt prompts') and
            'load_from' in text for text in warned] == [True, True]
    assert '(visual)' in warned[0] and '(text)' in warned[1]
    said.clear()
    MODELS.build(dict(type='CLIPVisionBackbone', arch=ARCH,
                      pretrained=clip_file))
    assert not any('learnt' in text for text, _ in said)
