"""Runs with losses beside the main one: they go on exactly, and what they
save is tested, converted and fine-tuned as a model without them."""
import pytest
import torch
from commands import refused, vifi
from tiny import build_model, model_cfg, tiny_arch
from tools_world import BLENDING, NUM_FRAMES, PREPROCESSOR

from projects.vifi_clip.apis.loading import load_model

TACO = dict(type='AnchorRelationLoss',
            teacher=dict(type='EMATeacher', momentum=0.1))


@pytest.fixture
def config(write_config, shared_world):
    """Function of losses: a config of two steps of two micro-batches in each
    of two epochs, under bfloat16."""
    torch.manual_seed(7)
    clip = shared_world / 'another_clip.pth'
    torch.save(build_model().state_dict(), clip)
    froster = dict(type='FeatureDistillationLoss', teacher=dict(
        type='CLIPTeacher', arch=tiny_arch(), pretrained=str(clip)))
    known = dict(taco=TACO, froster=froster)

    def write(*names, **changes) -> str:
        return write_config('_'.join(['config', *names]), **{**dict(
            model=model_cfg(
                num_frames=NUM_FRAMES, auxiliary=[known[n] for n in names],
                data_preprocessor=dict(PREPROCESSOR, blending=BLENDING)),
            default_hooks=dict(checkpoint=dict(max_keep_ckpts=3,
                                               save_best=None)),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
            optim_wrapper=dict(
                type='AutocastOptimWrapper', dtype='bfloat16',
                accumulative_counts=2, optimizer=dict(
                    type='AdamW', lr=1e-3, fused=True))), **changes})

    return write


def train(config, folder, *options) -> dict:
    assert vifi('train', config, '--work-dir', folder, '--no-validate',
                *options, '--cfg-options',
                'train_dataloader.batch_size=2') == 0
    return torch.load(folder / 'epoch_2.pth', weights_only=True)


def test_it_goes_on_exactly(config, tmp_path):
    """Beside a running mean of the weights, too."""
    path = config('taco', 'froster')
    with open(path, 'a') as file:
        file.write('\ncustom_hooks = [*_base_.custom_hooks, '
                   'dict(type="EMAHook")]\n')
    whole = train(path, tmp_path / 'whole')
    part = train(path, tmp_path / 'part', '--resume',
                 tmp_path / 'whole/epoch_1.pth')
    for key in ('state_dict', 'ema_state_dict', 'optimizer',
                'auxiliary_state_dict', 'teacher_state_dict'):
        torch.testing.assert_close(part[key], whole[key], rtol=0, atol=0)
    mean, now = whole['teacher_state_dict'], whole['state_dict']
    assert mean.keys() == now.keys() and not any(
        'auxiliary' in name for name in now)
    assert any(not torch.equal(mean[name], now[name]) for name in now)
    assert all(value.any() for value in
               whole['auxiliary_state_dict'].values())


def test_what_it_saves(config, tmp_path, tools, capsys):
    """A plain config tests it, and its teacher; so does its own."""
    path, run = config('taco', 'froster'), tmp_path / 'run'
    saved = train(path, run)
    file, plain = run / 'epoch_2.pth', config()
    for which in path, plain:
        assert 'acc/top1' in tools.test(which, file, '--work-dir', run)
        assert 'selects others' not in capsys.readouterr().out
    model = load_model(plain, f'{file}#teacher_state_dict')[0]
    torch.testing.assert_close(model.state_dict(),
                               saved['teacher_state_dict'], rtol=0, atol=0)
    assert vifi('convert', file, tmp_path / 'clip.pt', '--source', 'vifi',
                '--target', 'open_clip') == 0
    fresh = ['--work-dir', str(tmp_path / 'fresh'), '--no-validate',
             '--cfg-options', f'load_from={file}', 'train_cfg.max_epochs=1']
    assert vifi('train', plain, *fresh) == 0
    for other in plain, config('taco'):
        refused(capsys, 'train', other, '--work-dir', run, '--resume',
                run / 'epoch_1.pth', names='AUX')
