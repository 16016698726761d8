"""Runs in which adapters or LoRA train: they go on exactly, and commands take
their files, by their own config and, with LoRA, by a plain one."""
import pytest
import torch
from commands import vifi
from tiny import VARIANTS, model_cfg, tiny_arch
from tools_world import NUM_FRAMES, PREPROCESSOR

from projects.vifi_clip.apis.loading import load_model

KINDS = ('lora', 'STAdapterBackbone', 'AIMBackbone')


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def config(write_config, kind):
    """A config of two epochs of two steps."""
    settings = dict(VARIANTS[kind])
    if 'backbone' in settings:
        settings['backbone'] = dict(settings['backbone'], num_frames=None,
                                    arch=tiny_arch())
    return write_config(
        model=model_cfg(num_frames=NUM_FRAMES, data_preprocessor=PREPROCESSOR,
                        **settings),
        default_hooks=dict(checkpoint=dict(max_keep_ckpts=3, save_best=None)),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        optim_wrapper=dict(type='AutocastOptimWrapper', dtype='bfloat16',
                           optimizer=dict(type='AdamW', lr=1e-2)))


def train(config, folder, *options) -> dict:
    assert vifi('train', config, '--work-dir', folder, '--no-validate',
                *options, '--cfg-options',
                'train_dataloader.batch_size=4') == 0
    return torch.load(folder / 'epoch_2.pth', weights_only=True)


def test_it_goes_on_exactly_and_is_tested(kind, config, tools, write_config,
                                          tmp_path):
    whole = train(config, tmp_path / 'whole')
    part = train(config, tmp_path / 'part', '--resume',
                 tmp_path / 'whole/epoch_1.pth')
    for key in 'state_dict', 'optimizer':
        torch.testing.assert_close(part[key], whole[key], rtol=0, atol=0)
    start = torch.load(tmp_path / 'whole/epoch_1.pth')['state_dict']
    moved = {key for key, value in whole['state_dict'].items()
             if not torch.equal(value, start[key])}
    assert moved and all('lora_' in key or 'adapter' in key for key in moved)
    file = tmp_path / 'whole/epoch_2.pth'
    scores = tools.test(config, file, '--work-dir', tmp_path / 'test')
    if kind != 'lora':
        return
    plain = write_config('plain', model=model_cfg(
        num_frames=NUM_FRAMES, data_preprocessor=PREPROCESSOR))
    assert tools.test(plain, file, '--work-dir', tmp_path / 'again') == scores
    models = [load_model(path, str(file), 'cpu')[0] for path in (config,
                                                                 plain)]
    torch.testing.assert_close(*(m.state_dict() for m in models), rtol=0,
                               atol=0)
    assert not any('lora' in key for key in models[0].state_dict())
