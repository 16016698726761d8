"""Weights or losses that are not finite do not become figures."""
import pytest
import torch


@pytest.fixture
def broken(write_config, tools, tmp_path):
    """A checkpoint full of NaN, and its config."""
    config = write_config()
    tools.train(config, '--work-dir', tmp_path / 'run')
    path = (tmp_path / 'run/last_checkpoint').read_text()
    checkpoint = torch.load(path, weights_only=False)
    for value in checkpoint['state_dict'].values():
        if value.is_floating_point():
            value.fill_(float('nan'))
    torch.save(checkpoint, tmp_path / 'nan.pth')
    return config, tmp_path / 'nan.pth'


def test_a_test_stops(broken, tools, tmp_path, capsys):
    config, weights = broken
    assert tools.code_of_test(config, weights, '--work-dir', tmp_path / 'test',
                              '--metrics', tmp_path / 'metrics.json') == 2
    said = capsys.readouterr().err
    assert 'are not finite: the weights are broken' in said
    assert not (tmp_path / 'metrics.json').exists()


def test_a_training_stops_before_it_saves(broken, tools, tmp_path, capsys):
    config, weights = broken
    assert tools.code_of_train(
        config, '--work-dir', tmp_path / 'again', '--cfg-options',
        f'load_from={weights}') == 2
    assert 'the loss is nan in epoch 1' in capsys.readouterr().err
    assert not list((tmp_path / 'again').glob('*.pth'))


def test_frozen_clip_is_not_trained(write_config, tools, tmp_path, capsys,
                                    shared_world):
    from tools_world import settings_of
    model = dict(settings_of(shared_world)['model'], tune='none')
    config = write_config('frozen', model=model)
    assert tools.code_of_train(config, '--work-dir', tmp_path / 'x') == 2
    said = capsys.readouterr()
    assert 'tools/test.py' in said.err and 'parameters train' not in said.out
