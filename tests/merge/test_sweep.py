"""``vifi-clip merge --evaluate``: what each alpha would be tested with alone,
and a table that goes on."""
import csv

import pytest
import torch
from commands import refused
from mmaction.registry import MODELS
from mmengine.runner import Runner
from tiny import NAMES
from tools_world import settings_of

from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip_tools.merge.sweep import accuracies


@pytest.fixture
def files(tmp_path, shared_world):
    """Two checkpoints of random weights."""
    cfg = settings_of(shared_world)['model']
    for seed, name in enumerate(('clip.pth', 'tuned.pth')):
        torch.manual_seed(seed)
        model = MODELS.build(cfg)
        for param in model.parameters():
            torch.nn.init.normal_(param, std=.3)
        torch.save(dict(state_dict=model.state_dict(), meta=dict(
            vifi_clip=collect_settings(model, cfg))), tmp_path / name)
    return tmp_path / 'clip.pth', tmp_path / 'tuned.pth'


@pytest.fixture
def config(write_config, shared_world, tmp_path):
    """Three sets, of which two have half of the classes; and a hook that
    exchanges weights in a test."""
    (tmp_path / 'half.txt').write_text('train_0.mp4 0\ntrain_1.mp4 1\n'
                                       'train_4.mp4 0\n')
    (tmp_path / 'half.classes.txt').write_text('\n'.join(NAMES[:2]))
    half = dict(ann_file=str(tmp_path / 'half.txt'),
                class_file=str(tmp_path / 'half.classes.txt'))
    sets = [dict(name='all', ann_file=str(shared_world / 'train.txt'),
                 class_file=str(shared_world / 'classes.txt')),
            dict(half, name='half'), dict(half, name='again')]
    return write_config(
        test_cfg=dict(type='MultiSetTestLoop', sets=sets),
        custom_hooks=[dict(type='EMAHook'),
                      dict(type='CheckpointSettingsHook')])


def rows_of(path) -> list:
    return [{name: float(value) for name, value in row.items()}
            for row in csv.DictReader(path.read_text().splitlines())]


@pytest.mark.slow
def test_each_alpha_as_it_is_tested_alone(tools, files, config, tmp_path,
                                          capsys, monkeypatch):
    out, work = tmp_path / 'new/alphas.csv', ('--work-dir', tmp_path / 'run')
    assert tools.code_of_merge(*files, '--alpha', 1, 0, '.5', '--evaluate',
                               config, '--out', out, *work) == 0
    said = capsys.readouterr().out
    rows = rows_of(out)
    assert [row['alpha'] for row in rows] == [0, .5, 1]
    for row in rows:
        one = tmp_path / f'{row["alpha"]}.pth'
        assert tools.code_of_merge(*files, '--alpha', row['alpha'], '--out',
                                   one) == 0
        alone = tools.test(config, one, *work)
        assert {**row, **alone} == pytest.approx(row)
    tops = [(row['all/acc/top1'], row['half/acc/top1']) for row in rows]
    assert len(set(tops)) > 1
    means = [2 * a * b / (a + b) if a + b else 0 for a, b in tops]
    assert [row['best'] for row in rows] == [
        float(i == means.index(max(means))) for i in range(3)]
    assert (tmp_path / 'new/alphas.png').read_bytes()[:4] == b'\x89PNG'
    assert '| alpha | source | target | ' in said

    # interrupted, gone on with; what is there is not tested again
    test, calls = Runner.test, []

    def counted(runner):
        calls.append(runner)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return test(runner)

    monkeypatch.setattr(Runner, 'test', counted)
    more = '--alpha', 0, '.2', '.4', 1, '--evaluate', config, '--out', out
    assert tools.code_of_merge(*files, *more, *work) == 130
    assert [row['alpha'] for row in rows_of(out)] == [0, .2, .5, 1]
    assert tools.code_of_merge(*files, *more, *work) == 0
    assert [row['alpha'] for row in rows_of(out)] == [0, .2, .4, .5, 1]
    assert len(calls) == 3
    # other weights, or another test
    before = out.read_bytes()
    for argv, said in ((files[::-1], 'weights'),
                       ((*files, '--single-view'), 'single_view')):
        refused(capsys, 'merge', *argv, *more, *work, names=[
            out, said, '--overwrite'])
    assert out.read_bytes() == before and len(calls) == 3


def test_one_set(tools, files, write_config, tmp_path, capsys):
    out = tmp_path / 'alphas.csv'
    assert tools.code_of_merge(
        *files, '--alpha', '.5', '--evaluate', write_config(), '--single-view',
        '--out', out, '--work-dir', tmp_path / 'run') == 0
    row, = rows_of(out)
    assert (row['alpha'], row['best']) == (.5, 1)
    assert '| alpha | top-1 | ' in capsys.readouterr().out


def test_source_and_targets():
    found = {f'{name}/acc/top1': value for name, value in dict(
        k400=.5, hmdb51_1=.2, hmdb51_2=.4, HM=.1).items()}
    found.update({'k400/acc/top5': .9, 'hmdb51/acc/top1_mean': .3})
    assert accuracies(found) == pytest.approx([50, 30])
    assert accuracies({'acc/top5': .9, 'acc/top1': .5}) == [50]
    with pytest.raises(ValueError, match='retrieval/R1'):
        accuracies({'retrieval/R1': .5})
