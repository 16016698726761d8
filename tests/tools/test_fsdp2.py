"""Two FSDP2 processes train as one process does, and swap checkpoints."""
import re

import pytest
import torch
from tools_world import REPO, settings_of, start

FSDP = ['--cfg-options', 'train_dataloader.batch_size=2',
        'runner_type=SpreadRunner', 'strategy.type=FSDP2Strategy']


@pytest.fixture
def config(world, write_config):
    """Two epochs of two steps, by SGD with momentum; two micro-batches to a
    step."""
    settings = settings_of(world)
    return write_config(
        root=world,
        train_dataloader=dict(settings['train_dataloader'], batch_size=4),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        optim_wrapper=dict(
            type='AutocastOptimWrapper',
            dtype='float32',
            clip_grad=dict(max_norm=5.0),
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9)))


def _two(cwd, config, *args) -> str:
    process = start('bash', REPO / 'tools/dist_train.sh', config, 2, *args,
                    cwd=cwd)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def _losses(folder) -> list:
    path, = folder.glob('*/*.log')
    return [float(x) for x in re.findall(
        r'Epoch\(train\).* loss: ([\d.]+)', path.read_text())]


def _assert_alike(path, other) -> None:
    """Weights and momentum."""
    ends = [torch.load(p, weights_only=True) for p in (path, other)]
    assert ends[0]['state_dict'].keys() == ends[1]['state_dict'].keys()
    for name, value in ends[0]['state_dict'].items():
        torch.testing.assert_close(
            ends[1]['state_dict'][name], value, rtol=1e-4, atol=1e-6)
    states = [end['optimizer']['state'] for end in ends]
    assert states[0].keys() == states[1].keys()
    for i, state in states[0].items():
        torch.testing.assert_close(
            states[1][i]['momentum_buffer'], state['momentum_buffer'],
            rtol=1e-3, atol=1e-5)


def test_two_shards_train_as_one_process(tools, config, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    tools.train(config, '--work-dir', one)
    output = _two(tmp_path, config, '--work-dir', two, *FSDP)
    assert 'FSDP2Strategy' in next(two.glob('*.py')).read_text(), output
    start_of, end = (torch.load(one / f'epoch_{i}.pth')['state_dict']
                     for i in (1, 2))
    assert sum(not torch.allclose(start_of[n], v) for n, v in end.items()) > 20
    _assert_alike(one / 'epoch_2.pth', two / 'epoch_2.pth')
    assert _losses(one) and len(_losses(one)) == len(_losses(two))
    logs = [next(folder.glob('*/*.log')).read_text() for folder in (one, two)]
    accuracies = [re.findall(r'(acc/\w+): ([\d.]+)', log) for log in logs]
    assert accuracies[0] and accuracies[0] == accuracies[1]

    # each goes on from the other's first epoch
    for folder, other in (one, two), (two, one):
        again = tmp_path / f'{folder.name}_again'
        resume = ['--resume', other / 'epoch_1.pth', '--work-dir', again]
        if folder is one:
            tools.train(config, *resume)
        else:
            _two(tmp_path, config, *resume, *FSDP)
        _assert_alike(one / 'epoch_2.pth', again / 'epoch_2.pth')
