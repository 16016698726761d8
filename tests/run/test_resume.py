"""A run that was killed goes on to the same result, bit by bit."""
import shutil
import signal
import sys

import pytest
import torch
from commands import refused
from tools_world import BLENDING, PREPROCESSOR, REPO, ended, settings_of

EPOCHS = 3


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
def test_killed_and_resumed_equals_unbroken(tools, write_config, shared_world,
                                            tmp_path):
    """With any number of workers, bit by bit, and all that could differ:
    augmentation, mixup, a schedule, an epoch whose last step is not a full
    one."""

    def write(name, num_workers) -> str:
        settings = settings_of(shared_world)
        settings['train_dataloader'].update(
            batch_size=2, num_workers=num_workers,
            persistent_workers=num_workers > 0)
        settings['optim_wrapper']['accumulative_counts'] = 3
        settings['model']['data_preprocessor'] = dict(
            PREPROCESSOR, blending=BLENDING)
        schedule = dict(
            type='CosineAnnealingLR', T_max=EPOCHS, by_epoch=True, begin=0,
            end=EPOCHS, eta_min_ratio=0.01, convert_to_iter_based=True)
        return write_config(name, **dict(
            settings, param_scheduler=[schedule],
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=EPOCHS)))

    unbroken, broken = tmp_path / 'unbroken', tmp_path / 'broken'
    tools.train(write('alone', 0), '--work-dir', unbroken)
    config = write('workers', 2)
    ended(sys.executable, '-c', _KILLED, config, '--work-dir', broken,
          cwd=REPO, code=-signal.SIGKILL)
    assert (broken / 'epoch_1.pth').exists()
    assert not (broken / f'epoch_{EPOCHS}.pth').exists()
    assert not list(broken.glob('*.tmp'))
    tools.train(config, '--work-dir', broken, '--resume')
    log = max(broken.glob('*/*.log')).read_text()
    assert 'resumed epoch: ' in log and 'Epoch(train) [1]' not in log
    ends = [torch.load(folder / f'epoch_{EPOCHS}.pth')
            for folder in (unbroken, broken)]
    for part in 'state_dict', 'optimizer':
        torch.testing.assert_close(*(end[part] for end in ends), rtol=0,
                                   atol=0)
    assert ends[0]['param_schedulers'] == ends[1]['param_schedulers']
    best = [end['message_hub']['runtime_info']['best_score'] for end in ends]
    assert best[0] == best[1]


def test_nothing_to_resume(trained, tools, write_config, tmp_path):
    """The run starts afresh, from load_from, and says so."""
    config = write_config(load_from=str(trained[1]))
    tools.train(config, '--work-dir', tmp_path / 'a', '--resume')
    log, = (path.read_text() for path in (tmp_path / 'a').glob('*/*.log'))
    assert f'no checkpoint in {tmp_path / "a"}' in log
    assert f'Load checkpoint from {trained[1]}' in log


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
