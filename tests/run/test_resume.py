"""A run that was killed goes on to the same result, bit by bit."""
import shutil
import signal
import sys

import pytest
import torch
from commands import refused
from tools_world import BLENDING, PREPROCESSOR, REPO, settings_of

EPOCHS = 3


@pytest.fixture
def write_long(write_config, shared_world):
    """A run with all that could differ: augmentation, mixup, a schedule, an
    epoch whose last step is not a full one."""

    def write(name='config', num_workers=2, epochs=EPOCHS, **changes) -> str:
        settings = settings_of(shared_world)
        loader = settings['train_dataloader']
        loader.update(
            batch_size=2,
            num_workers=num_workers,
            persistent_workers=num_workers > 0)
        optim_wrapper = dict(
            settings['optim_wrapper'], accumulative_counts=3)
        schedule = dict(
            type='CosineAnnealingLR', T_max=epochs, by_epoch=True, begin=0,
            end=epochs, eta_min_ratio=0.01, convert_to_iter_based=True)
        settings['model']['data_preprocessor'] = dict(
            PREPROCESSOR, blending=BLENDING)
        return write_config(
            name,
            train_dataloader=loader,
            optim_wrapper=optim_wrapper,
            param_scheduler=[schedule],
            model=settings['model'],
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs),
            **changes)

    return write


def _equal(one, two, place='') -> int:
    """Compare trees; the number of tensors in them."""
    assert type(one) is type(two), place
    if isinstance(one, dict):
        assert one.keys() == two.keys(), place
        return sum(_equal(one[k], two[k], f'{place}/{k}') for k in one)
    if isinstance(one, (list, tuple)):
        assert len(one) == len(two), place
        return sum(_equal(x, y, f'{place}/{i}')
                   for i, (x, y) in enumerate(zip(one, two)))
    if torch.is_tensor(one):
        assert torch.equal(one, two), place
        return 1
    assert one == two, place
    return 0


def _assert_same_end(one, two) -> None:
    ends = [torch.load(folder / f'epoch_{EPOCHS}.pth') for folder in
            (one, two)]
    for part in 'state_dict', 'optimizer', 'param_schedulers':
        count = _equal(*(end[part] for end in ends), part)
        assert count > 20 or part == 'param_schedulers'
    best = [end['message_hub']['runtime_info']['best_score'] for end in ends]
    assert best[0] == best[1]


_KILLED = '''
import os, signal, sys
from mmengine.runner import EpochBasedTrainLoop
from projects.vifi_clip_tools.cli.main import main
run_epoch = EpochBasedTrainLoop.run_epoch

def until_the_second(self):
    if self.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    run_epoch(self)

EpochBasedTrainLoop.run_epoch = until_the_second
main(['train', *sys.argv[1:]])
'''


@pytest.mark.slow
def test_killed_and_resumed_equals_unbroken(tools, write_long, tmp_path):
    config = write_long()
    unbroken, broken = tmp_path / 'unbroken', tmp_path / 'broken'
    tools.train(config, '--work-dir', unbroken)
    process = tools.start(sys.executable, '-c', _KILLED, config,
                          '--work-dir', broken, cwd=REPO)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, output
    assert (broken / 'epoch_1.pth').exists()
    assert not (broken / f'epoch_{EPOCHS}.pth').exists()
    assert not list(broken.glob('*.tmp'))
    tools.train(config, '--work-dir', broken, '--resume')
    log = max(broken.glob('*/*.log')).read_text()
    assert 'resumed epoch: ' in log and 'Epoch(train) [1]' not in log
    _assert_same_end(unbroken, broken)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same(tools, write_long, tmp_path):
    for count in 0, 2:
        tools.train(write_long(f'w{count}', num_workers=count), '--work-dir',
                    tmp_path / f'{count}')
    _assert_same_end(tmp_path / '0', tmp_path / '2')


def test_nothing_to_resume(tools, write_config, tmp_path):
    """The run starts afresh and says so, from load_from if that is set."""
    config = write_config()
    tools.train(config, '--work-dir', tmp_path / 'a', '--resume')
    log, = (tmp_path / 'a').glob('*/*.log')
    assert f'no checkpoint in {tmp_path / "a"}' in log.read_text()
    first = tmp_path / 'a' / 'epoch_1.pth'
    tools.train(write_config('next', load_from=str(first)), '--work-dir',
                tmp_path / 'b', '--resume')
    log, = (tmp_path / 'b').glob('*/*.log')
    assert f'Load checkpoint from {first}' in log.read_text()


@pytest.mark.parametrize('last', ['', '/gone/epoch_1.pth', None])
def test_a_moved_folder_resumes(trained, tools, tmp_path, last, capsys):
    """So does one whose last_checkpoint was cut short by a kill, and a file
    that is named."""
    (config, checkpoint), run = trained, tmp_path / 'run'
    if last is None:
        refused(capsys, 'train', config, '--work-dir', run, '--resume',
                'absent.pth', names='absent.pth')
        assert not list(run.glob('*.pth'))
    else:
        shutil.copytree(checkpoint.parent, run)
        (run / 'last_checkpoint').write_text(last)
    tools.train(config, '--work-dir', run, '--resume',
                *[checkpoint] * (last is None),
                '--cfg-options', 'train_cfg.max_epochs=2')
    assert torch.load(run / 'epoch_2.pth')['meta']['iter'] == 4
