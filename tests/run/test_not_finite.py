"""Weights or losses that are not finite do not become figures."""
import pytest
import torch
from commands import refused
from mmaction.registry import MODELS
from tools_world import settings_of


@pytest.fixture
def broken(shared_world, tmp_path):
    """A checkpoint full of NaN."""
    model = MODELS.build(settings_of(shared_world)['model'])
    state = {name: torch.full_like(value, float('nan'))
             for name, value in model.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'nan.pth')
    return tmp_path / 'nan.pth'


def test_a_test_stops(broken, write_config, tmp_path, capsys):
    refused(capsys, 'test', write_config(), broken, '--work-dir',
            tmp_path / 'test', '--metrics', tmp_path / 'metrics.json',
            names='not finite')
    assert not (tmp_path / 'metrics.json').exists()


def test_a_training_stops_before_it_saves(broken, write_config, tmp_path,
                                          capsys):
    refused(capsys, 'train', write_config(), '--work-dir', tmp_path / 'again',
            '--cfg-options', f'load_from={broken}',
            names='the loss is nan in epoch 1')
    assert not list((tmp_path / 'again').glob('*.pth'))


def test_frozen_clip_is_not_trained(write_config, tmp_path, capsys,
                                    shared_world):
    model = dict(settings_of(shared_world)['model'], tune='none')
    refused(capsys, 'train', write_config('frozen', model=model),
            '--work-dir', tmp_path / 'x', names='test')
