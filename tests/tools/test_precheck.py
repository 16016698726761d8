"""Missing lists show before a model is built."""
import pytest
from mmengine.config import Config

from projects.vifi_clip.apis.config import check_lists


def _config(tmp_path, **changes) -> Config:
    (tmp_path / 'list.txt').write_text('a.mp4 0\n')
    (tmp_path / 'names.txt').write_text('jump\n')
    dataset = dict(type='CheckedVideoDataset', data_root=str(tmp_path),
                   ann_file='list.txt', class_file=str(tmp_path / 'names.txt'))
    dataset.update(changes)
    return Config(dict(test_dataloader=dict(dataset=dataset)))


def test_what_is_there_passes(tmp_path):
    check_lists(_config(tmp_path), ('train', 'val', 'test'))


@pytest.mark.parametrize('change, said', [
    (dict(ann_file='absent.txt'), 'absent.txt.*make_splits'),
    (dict(class_file='absent.csv'), 'absent.csv'),
    (dict(data_prefix=dict(video='nowhere')), 'no video folder.*nowhere')])
def test_what_is_absent(tmp_path, change, said):
    with pytest.raises(FileNotFoundError, match=said):
        check_lists(_config(tmp_path, **change), ('test', ))


def test_inside_wrappers_and_sets(tmp_path):
    cfg = _config(tmp_path)
    inner = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(
        type='RepeatDataset', times=2,
        dataset=dict(type='ConcatDataset', datasets=[
            inner, dict(inner, ann_file='gone.txt')]))
    with pytest.raises(FileNotFoundError, match='gone.txt'):
        check_lists(cfg, ('test', ))
    cfg = _config(tmp_path)
    cfg.test_cfg = dict(sets=[dict(name='a'),
                              dict(name='b', ann_file='second.txt')])
    with pytest.raises(FileNotFoundError, match='second.txt'):
        check_lists(cfg, ('test', ))


def test_remote_lists_are_left_to_their_reader(tmp_path):
    check_lists(_config(tmp_path, ann_file='s3://bucket/list.txt'), ('test', ))


def test_the_tool_builds_no_model(write_config, tools, tmp_path, capsys,
                                  shared_world):
    from tools_world import settings_of
    loader = settings_of(shared_world)['test_dataloader']
    loader['dataset']['ann_file'] = 'absent.txt'
    config = write_config(test_dataloader=loader)
    assert tools.code_of_test(config, 'none', '--work-dir', tmp_path) == 2
    said = capsys.readouterr()
    assert 'absent.txt' in said.err and 'parameters train' not in said.out
