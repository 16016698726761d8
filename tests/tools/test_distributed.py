"""Two processes through the shell scripts equal one, on CPU with gloo."""
import pickle
import re

import pytest
import torch
from tools_world import REPO, settings_of, start


@pytest.fixture
def config(world, write_config):
    """Plain SGD: Adam would blow up the rounding of gradients that are
    zero. One of the five test videos is bad."""
    (world / 'videos' / 'val_3.mp4').write_bytes(b'')
    settings = settings_of(world)
    settings['val_dataloader']['dataset']['on_bad_video'] = 'count_as_wrong'
    return write_config(
        root=world,
        val_dataloader=settings['val_dataloader'],
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        optim_wrapper=dict(
            type='AutocastOptimWrapper',
            dtype='float32',
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9)))


def _shell(cwd, script, *args) -> str:
    """Run a script to its end; its output."""
    process = start('bash', REPO / 'tools' / script, *args, cwd=cwd)
    output, _ = process.communicate(timeout=300)
    # the end tells why, and a report that is cut keeps the beginning
    assert process.returncode == 0, output[-3000:]
    return output


def _metrics(folder) -> dict:
    """Of a test, as its log file has them."""
    path, = folder.glob('*/*.log')
    return dict(re.findall(r'(acc/\w+): ([\d.]+)', path.read_text()))


def _scores(path) -> torch.Tensor:
    samples = pickle.loads(path.read_bytes())
    return torch.stack([sample['pred_score'] for sample in samples])


def _assert_trained_alike(one, two) -> None:
    """The same weights, and none of them where it was before."""
    first, ends = torch.load(one / 'epoch_1.pth'), [
        torch.load(folder / 'epoch_2.pth') for folder in (one, two)]
    assert [end['meta']['iter'] for end in ends] == [4, 4]
    moved = 0
    for name, value in ends[0]['state_dict'].items():
        torch.testing.assert_close(
            ends[1]['state_dict'][name], value, rtol=1e-4, atol=1e-6)
        before = first['state_dict'][name]
        moved += not torch.allclose(before, value, rtol=1e-3, atol=1e-5)
    assert moved > 20


def test_two_processes_equal_one(tools, config, world, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    one, two = tmp_path / 'one', elsewhere / 'two'
    tools.train(config, '--work-dir', one)
    # 2 processes x batch 2: every step sees the videos that it saw there
    _shell(elsewhere, 'dist_train.sh', config, 2, '--work-dir', 'two',
           '--cfg-options', 'train_dataloader.batch_size=2')
    _assert_trained_alike(one, two)

    test = [config, one / 'epoch_2.pth']
    options = ['--bad-videos', 'count_as_wrong', '--dump']
    tools.test(*test, *options, tmp_path / 'a.pkl', '--work-dir',
               tmp_path / 'a')
    # three labels of five as the model sees them, one of a bad video
    labels = _scores(tmp_path / 'a.pkl').argmax(1)
    labels[:2] = (labels[:2] + 1) % 4
    (world / 'val.txt').write_text(''.join(
        f'val_{i}.mp4 {label}\n' for i, label in enumerate(labels.tolist())))
    tools.test(*test, *options, tmp_path / '1.pkl', '--work-dir',
               tmp_path / '1')
    output = _shell(elsewhere, 'dist_test.sh', *test, 2, *options, '2.pkl',
                    '--work-dir', '2')
    metrics = _metrics(tmp_path / '1')
    assert metrics['acc/top1'] == '0.4000'
    assert metrics['acc/num_bad'] == '1.0000'
    assert _metrics(elsewhere / '2') == metrics
    torch.testing.assert_close(
        _scores(elsewhere / '2.pkl'), _scores(tmp_path / '1.pkl'))
    # found by the second process, said by the first
    assert '1 of 5 videos could not be read and were counted as' in output


@pytest.mark.parametrize('script, args, said', [
    ('dist_train.sh', ['config.py', 'two'], "whole number.*'two'"),
    ('dist_train.sh', ['config.py'], 'dist_train.sh CONFIG NUM_PROCESSES'),
    ('dist_test.sh', ['config.py', 'a.pth', '0'], "whole number.*'0'"),
    ('dist_test.sh', ['config.py', 'a.pth'], 'CONFIG CHECKPOINT NUM_PROC')
])
def test_wrong_command_lines(tmp_path, script, args, said):
    process = start('bash', REPO / 'tools' / script, *args, cwd=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(said, output), output
