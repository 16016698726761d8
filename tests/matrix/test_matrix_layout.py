"""Where runs are, and what is left to do of them."""
import pytest
from matrix_world import write_record, write_training

from projects.vifi_clip_tools.paper.layout import (Layout, ShellText,
                                                   check_environ)
from projects.vifi_clip_tools.paper.runs import Run

RUN = Run('few/both', 'vifi_few_shot', dict(TUNE='both', SHOTS='4'))
BRIDGE = Run('bridge', 'vifi_zero_shot', dict(TUNE='both'), test=False)
PROMPTS = Run('few/prompts', 'vifi_few_shot', dict(TUNE='prompts'),
              uses='bridge')
TESTED = Run('zero', 'vifi_zero_shot', dict(TUNE='both', EVAL='k600'),
             train=False, uses='bridge')
FROZEN = Run('few/none', 'vifi_few_shot', dict(TUNE='none'), train=False)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path))


def test_steps_of_a_new_run(layout, tmp_path):
    train, test = layout.steps(RUN)
    assert train[0] == 'train' and train[1].endswith(
        'configs/vifi_few_shot.py')
    assert train[2:] == ['--work-dir', f'{tmp_path}/few/both', '--resume']
    assert test[0] == 'test' and test[1] == train[1]
    assert isinstance(test[2], ShellText)
    assert test[3:] == ['--work-dir', f'{tmp_path}/few/both', '--metrics',
                        f'{tmp_path}/few/both/metrics.json', '--predictions',
                        f'{tmp_path}/few/both/predictions.csv']
    captions, = layout.steps(Run('r', 'vifi_retrieval', train=False))
    assert '--predictions' not in captions  # which are no classes


def test_trained_runs_are_tested_alone(layout):
    checkpoint = write_training(layout, 'few/both')
    test, = layout.steps(RUN)
    assert test[2] == checkpoint
    assert not layout.finished(RUN)
    write_record(layout, RUN, {})
    assert layout.finished(RUN)


def test_an_interrupted_training_has_no_last_checkpoint(layout, tmp_path):
    """Its checkpoint is removed while the training goes on."""
    write_training(layout, 'few/both')
    (tmp_path / 'few/both/trained').unlink()
    train, test = layout.steps(RUN)
    assert isinstance(test[2], ShellText)


def test_a_moved_folder(layout, tmp_path):
    write_training(layout, 'bridge')
    marker = tmp_path / 'bridge/last_checkpoint'
    marker.write_text('/gone/matrix/bridge/epoch_9.pth\n')
    assert layout.checkpoint('bridge') == f'{tmp_path}/bridge/epoch_9.pth'


def test_training_alone(layout):
    assert [step[0] for step in layout.steps(BRIDGE)] == ['train']
    assert not layout.finished(BRIDGE)
    write_training(layout, 'bridge')
    assert layout.steps(BRIDGE) == [] and layout.finished(BRIDGE)


def test_runs_that_use_others(layout):
    assert isinstance(layout.environ(PROMPTS)['PRETRAINED'], ShellText)
    checkpoint = write_training(layout, 'bridge')
    assert layout.environ(PROMPTS) == dict(TUNE='prompts',
                                           PRETRAINED=checkpoint)
    assert layout.environ(TESTED) == dict(TUNE='both', EVAL='k600')
    assert [step[::2][:2] for step in layout.steps(TESTED)] == [
        ['test', checkpoint]]


def test_frozen_clip(layout):
    test, = layout.steps(FROZEN)
    assert test[2] == 'none'
    assert layout.environ(FROZEN) == dict(TUNE='none')


def test_knobs_that_the_matrix_turns():
    check_environ(dict(DATA_ROOT='/d', PATH='/bin'), {'TUNE', 'SEED'})
    with pytest.raises(ValueError, match='^SEED, TUNE set in the environment'):
        check_environ(dict(TUNE='both', SEED='1', PATH='/bin'),
                      {'TUNE', 'SEED', 'SHOTS'})
