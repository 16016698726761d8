"""One test run over several sets, each with its own classes."""
import json
import pickle

import pytest
import torch
from commands import refused
from tiny import NAMES
from tools_world import settings_of

HALVES = dict(base=NAMES[2:], novel=NAMES[:2])


@pytest.fixture(scope='module')
def halves(tmp_path_factory, shared_world):
    """Lists and class lists of two halves; label i counts within a half."""
    folder = tmp_path_factory.mktemp('halves')
    rows = [line.rsplit(' ', 1)
            for line in (shared_world / 'val.txt').read_text().splitlines()]
    for half, names in HALVES.items():
        (folder / f'{half}.classes.txt').write_text('\n'.join(names) + '\n')
        lines = [f'{path} {names.index(NAMES[int(label)])}'
                 for path, label in rows if NAMES[int(label)] in names]
        (folder / f'{half}.txt').write_text('\n'.join(lines) + '\n')
    return folder


def _sets(folder, **changes) -> dict:
    sets = [dict(name=half, ann_file=str(folder / f'{half}.txt'),
                 class_file=str(folder / f'{half}.classes.txt'))
            for half in HALVES]
    return dict(type='MultiSetTestLoop', sets=sets,
                harmonic_mean=('base', 'novel'), **changes)


def _alone(world, folder, half, **changes) -> dict:
    """The config's settings for one half with the ordinary loop."""
    settings = settings_of(world)
    loader = settings['test_dataloader']
    loader['dataset'].update(ann_file=str(folder / f'{half}.txt'),
                             class_file=str(folder / f'{half}.classes.txt'))
    model = settings['model']
    model['cls_head']['text_classifier']['class_names'] = HALVES[half]
    return dict(test_dataloader=loader, model=model)


def test_each_set_as_if_tested_alone(shared_world, halves, write_config,
                                     trained, tools, tmp_path):
    config, (_, weights) = write_config('joined', test_cfg=_sets(halves)), (
        trained)
    joined = tools.test(config, weights, '--work-dir', tmp_path / 'joined',
                        '--dump', tmp_path / 'out.pkl', '--metrics',
                        tmp_path / 'out.json')
    for half in HALVES:
        alone = write_config(half, **_alone(shared_world, halves, half))
        found = tools.test(alone, weights, '--work-dir', tmp_path / half,
                           '--dump', tmp_path / f'{half}_alone.pkl')
        assert joined[f'{half}/acc/top1'] == found['acc/top1']
        scores = [[sample['pred_score'] for sample in
                   pickle.loads((tmp_path / name).read_bytes())]
                  for name in (f'out_{half}.pkl', f'{half}_alone.pkl')]
        assert len(scores[0]) == len(scores[1]) > 0
        for ours, theirs in zip(*scores):
            assert ours.shape == (2, )
            torch.testing.assert_close(ours, theirs)
    record = json.loads((tmp_path / 'out.json').read_text())
    assert record['metrics']['HM/acc/top1'] == pytest.approx(
        joined['HM/acc/top1'])


def test_during_training_the_models_own_classes_come_back(
        halves, write_config, tools, tmp_path):
    val = dict(_sets(halves), type='MultiSetValLoop')
    config = write_config(
        'val', val_cfg=val,
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(save_best='HM/acc/top1',
                                           rule='greater')))
    tools.train(config, '--work-dir', tmp_path / 'run')  # labels 0..3 fit
    log, = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    tested = [row for row in rows if 'HM/acc/top1' in row]
    assert len(tested) == 2
    assert {'base/acc/top1', 'novel/acc/top5'} <= set(tested[0])
    assert list((tmp_path / 'run').glob('best_HM_acc_top1*.pth'))


@pytest.mark.parametrize('change, named', [
    (dict(sets=[]), 'sets'), (dict(harmonic_mean=('base', 'old')), 'old'),
    (dict(harmonic_mean=('base', 'base')), 'base'),
    (dict(sets=[dict(name='HM')], harmonic_mean=None), "'HM'"),
    (dict(sets=[dict(name='../x')], harmonic_mean=None), '/'),
    (dict(sets=[dict(name='a', ann_file='absent.txt')], harmonic_mean=None),
     'absent.txt'),
    (dict(sets=[dict(name='a', class_file=None)], harmonic_mean=None),
     "'a'")])
def test_bad_settings(halves, write_config, capsys, change, named):
    config = write_config('bad', test_cfg=dict(_sets(halves), **change))
    refused(capsys, 'test', config, 'none', names=named)
