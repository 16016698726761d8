"""Validation and test of several sets at once, each with its own classes."""
import json
import pickle

import pytest
import torch
from commands import refused
from tiny import NAMES
from tools_world import settings_of

HALVES = dict(base=NAMES[2:], novel=NAMES[:2])


@pytest.fixture(scope='module')
def sets(tmp_path_factory, shared_world) -> list:
    """Lists and class lists of two halves; label i counts within a half."""
    folder, sets = tmp_path_factory.mktemp('halves'), []
    rows = [line.rsplit(' ', 1)
            for line in (shared_world / 'val.txt').read_text().splitlines()]
    for half, names in HALVES.items():
        lists = folder / f'{half}.txt', folder / f'{half}.classes.txt'
        lists[0].write_text('\n'.join(
            f'{path} {names.index(NAMES[int(label)])}'
            for path, label in rows if NAMES[int(label)] in names))
        lists[1].write_text('\n'.join(names))
        sets.append(dict(name=half, ann_file=str(lists[0]),
                         class_file=str(lists[1])))
    return sets


def _loop(**changes) -> dict:
    return {**dict(type='MultiSetTestLoop', harmonic_mean=('base', 'novel')),
            **changes}


@pytest.mark.slow
def test_each_set_as_if_tested_alone(shared_world, sets, write_config,
                                     trained, tools, tmp_path):
    config, (_, weights) = write_config('joined', test_cfg=_loop(sets=sets)), (
        trained)
    joined = tools.test(config, weights, '--work-dir', tmp_path / 'joined',
                        '--dump', tmp_path / 'out.pkl', '--metrics',
                        tmp_path / 'out.json')
    for half in sets:
        name, settings = half['name'], settings_of(shared_world)
        settings['test_dataloader']['dataset'].update(
            ann_file=half['ann_file'], class_file=half['class_file'])
        settings['model']['cls_head']['text_classifier'][
            'class_names'] = HALVES[name]
        metrics = tools.test(
            write_config(name, **settings), weights, '--work-dir',
            tmp_path / name, '--dump', tmp_path / 'alone.pkl')
        assert joined[f'{name}/acc/top1'] == metrics['acc/top1']
        ours, theirs = (
            torch.stack([sample['pred_score'] for sample in pickle.loads(
                (tmp_path / file).read_bytes())])
            for file in (f'out_{name}.pkl', 'alone.pkl'))
        assert ours.shape[1] == 2
        torch.testing.assert_close(ours, theirs)
    record = json.loads((tmp_path / 'out.json').read_text())
    assert record['metrics']['HM/acc/top1'] == pytest.approx(
        joined['HM/acc/top1'])


def test_during_training_the_models_own_classes_come_back(
        sets, write_config, tools, tmp_path):
    config = write_config(
        'val', val_cfg=_loop(type='MultiSetValLoop', sets=sets),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(save_best='HM/acc/top1',
                                           rule='greater')))
    tools.train(config, '--work-dir', tmp_path / 'run')  # labels 0..3 fit
    log, = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    tested = [row for row in rows if 'HM/acc/top1' in row]
    assert len(tested) == 2
    assert {'base/acc/top1', 'novel/acc/top1'} <= set(tested[0])
    assert list((tmp_path / 'run').glob('best_HM_acc_top1*.pth'))


@pytest.mark.parametrize('change, named', [
    (dict(sets=[]), 'sets'), (dict(harmonic_mean=('base', 'old')), 'old'),
    (dict(harmonic_mean=('base', 'base')), 'base'),
    (dict(sets=[dict(name='HM')], harmonic_mean=None), "'HM'"),
    (dict(sets=[dict(name='../x')], harmonic_mean=None), '/'),
    (dict(sets=[dict(name='a', class_file=None)], harmonic_mean=None),
     "'a'")])
def test_bad_sets(sets, write_config, capsys, change, named):
    config = write_config(test_cfg=_loop(**{'sets': sets, **change}))
    refused(capsys, 'test', config, 'none', names=named)


def test_each_set_needs_its_descriptions_before_training(
        shared_world, sets, write_config, capsys, tmp_path):
    described, classes = tmp_path / 'a.json', tmp_path / 'novel.txt'
    described.write_text(json.dumps({name: f'{name}: x' for name in NAMES}))
    classes.write_text('\n'.join(['unheard of', HALVES['novel'][1]]))
    settings = settings_of(shared_world)
    settings['model']['cls_head']['text_classifier'].update(
        description_file=str(described))
    settings['val_cfg'] = _loop(type='MultiSetValLoop', sets=[
        sets[0], dict(sets[1], class_file=str(classes))])
    refused(capsys, 'train', write_config(**settings), '--work-dir',
            tmp_path / 'run', names=[described, "'unheard of' (label 0)"])
    assert not list((tmp_path / 'run').glob('*.pth'))
