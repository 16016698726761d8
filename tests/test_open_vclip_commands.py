"""The commands with frames that look at their neighbours."""
import pytest
import torch
import torch.nn.functional as F
from commands import refused, vifi
from helpers import coded_frame, write_mp4
from mmaction.registry import MODELS
from mmengine.config import Config
from open_clip import CLIP
from tiny import NAMES, model_cfg, tiny_arch
from tools_world import NUM_FRAMES as T
from tools_world import PREPROCESSOR

from projects.vifi_clip.apis.identity import Identity, record
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_configs.shipped import root


def cfg(**backbone) -> dict:
    cfg = model_cfg(num_frames=T, data_preprocessor=PREPROCESSOR)
    cfg['backbone'].update(backbone)
    return cfg


OURS = cfg(type='NeighbourBackbone', num_frames=None)


@pytest.fixture
def config(write_config):
    return write_config(model=OURS)


@pytest.fixture
def weights(tmp_path):
    model = MODELS.build(OURS)
    torch.save(dict(state_dict=model.state_dict(),
                    meta=dict(vifi_clip=collect_settings(model))),
               tmp_path / 'weights.pth')
    return str(tmp_path / 'weights.pth')


@pytest.fixture
def clip(tmp_path):
    return write_mp4(tmp_path / 'a.mp4', fps=10, frames=[
        coded_frame(t, (64, 48)) for t in range(40)])


def test_windows_embed_their_frames_together(config, weights, clip):
    """In bfloat16, too."""
    infer = ViFiCLIPInferencer(config, weights, 'cpu')
    windows = infer.window_embeddings(clip, 1.2, 0.1)
    with VideoInput('a', clip).opened() as opened:
        grid = infer.sampler.windows(opened, 1.2, 0.1, T)
        images = grid.read(grid.unique)[grid.rows]
    assert len(grid.unique) < images.shape[0] * T / 2  # that windows share
    model = infer.model
    with torch.no_grad():
        expected = torch.cat([model.cls_head.fuse(model.backbone(
            infer.normalise(view))[None]) for view in images])
    torch.testing.assert_close(windows.embeddings, expected)
    fast = ViFiCLIPInferencer(config, weights, 'cpu', precision='bf16')
    assert (F.cosine_similarity(fast.window_embeddings(
        clip, 1.2, 0.1).embeddings, expected) > 0.99).all()


def test_records_tell_it_from_a_clip(config, weights, write_config):
    """Which has the same weights; whatever the precision."""
    plain = write_config('plain', model=cfg())
    for precision in 'fp32', 'bf16':
        ours, theirs = (ViFiCLIPInferencer(
            path, None, 'cpu', precision=precision,
            cfg_options={'custom_hooks': []}) for path in (config, plain))
        assert record(ours)['neighbours'] == 1
        assert 'neighbours' not in record(theirs)
        assert any('neighbours: 1' in line for line in Identity.of(
            ours).differences(Identity.of(theirs)))


def test_search(config, weights, clip, tmp_path, monkeypatch):
    """A text has an embedding of its own, unlike X-CLIP's."""
    monkeypatch.chdir(tmp_path)
    model = ['--config', config, '--checkpoint', weights, '--device', 'cpu']
    assert vifi('index', clip, *model, '--index', 'index') == 0
    assert vifi('search', NAMES[0], '--index', 'index', *model) == 0


@pytest.mark.parametrize('command, said', [
    (('export', '--out', 'out'), 'open_vclip'),
    (('attention', 'CLIP', '--out', 'out.png'), 'neighbours')])
def test_what_is_refused(command, said, config, weights, clip, tmp_path,
                         monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = refused(
        capsys, *(clip if word == 'CLIP' else word for word in command),
        '--config', config, '--checkpoint', weights, '--device', 'cpu',
        names=said)
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / 'out.png').exists()


def test_frames_are_not_cached(config, tmp_path, capsys):
    refused(capsys, 'cache-frames', config, 'none', '--out', tmp_path / 'c',
            names='NeighbourBackbone')
    assert not (tmp_path / 'c').exists()


def test_training_and_test(tools, write_config, tmp_path):
    """By the tools, with the recipe of METHOD=open_vclip."""
    recipe = Config.fromfile(
        root() / 'configs/_base_/methods/open_vclip.py').recipe.mini
    clip = tmp_path / 'clip.pt'
    torch.save(CLIP(**tiny_arch()).state_dict(), clip)
    model = cfg(type='NeighbourBackbone', num_frames=None,
                pretrained=str(clip))
    model.update(tune='image', logit_scale=True)
    model['cls_head']['text_classifier'].update(pretrained=str(clip))
    settings = dict(
        model=model, custom_hooks=[dict(hook) for hook in (
            *Config.fromfile(root() / 'configs/_base_/runtime.py'
                             ).custom_hooks, *recipe.hooks)],
        optim_wrapper=dict(recipe.optim_wrapper.to_dict(), optimizer=dict(
            type='AdamW', lr=1e-3, weight_decay=0.01)))
    config = write_config(**settings)
    tools.train(config, '--work-dir', tmp_path / 'work')
    checkpoint = tmp_path / 'work' / 'epoch_1.pth'
    assert torch.load(checkpoint)['meta']['vifi_clip']['neighbours'] == 1
    tools.test(config, checkpoint, '--work-dir', tmp_path / 'test')
    settings['model']['backbone'].update(pretrained=None)
    with pytest.raises(UserError, match='backbone.pretrained'):
        tools.train(write_config(**settings), '--work-dir', tmp_path / 'no')
