"""What is checked, what --force must not overwrite or leave behind."""
import hashlib
import json
import os
import re

import pytest
from commands import refused, vifi
from split_files import (OWN_ROWS, PUBLISHED, SMALL, WRITERS, contents,
                         make_own, names_of, official_call, own_call, rows_of,
                         write)

from projects.vifi_clip_tools.splits import classes


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A copy of the committed class lists, in place of the true ones."""
    copy = tmp_path / 'data_splits'
    for dataset in 'ucf101', 'k600':
        for path in (PUBLISHED / dataset).glob('*classes*.txt'):
            write(copy / dataset / path.name, path.read_text())
    monkeypatch.setattr(classes, 'PUBLISHED', copy)
    return copy


def test_committed_class_lists_are_never_overwritten(tmp_path, capsys,
                                                     published):
    source = WRITERS['ucf101'](tmp_path / 'official')
    names = names_of('ucf101')
    halves = [write(tmp_path / name, '\n'.join(part) + '\n')
              for name, part in (('b.txt', names[60:]), ('n.txt', names[:60]))]
    folder = published / 'ucf101'
    before = contents(folder)
    options = ['--force', '--halves', *halves]
    refused(capsys, *official_call('ucf101', source, folder, *options),
            names=['base_classes.txt', '--out'])
    assert contents(folder) == before
    assert vifi(*official_call('ucf101', source, tmp_path / 'mine',
                               *options)) == 0


@pytest.mark.parametrize('dataset, name', [
    ('ucf101', 'novel_classes.txt'), ('ucf101', 'classes.txt'),
    ('k600', 'zero_shot_2_classes.txt')])
def test_a_missing_published_list(tmp_path, capsys, published, dataset, name):
    source = WRITERS[dataset](tmp_path / 'official')
    (published / dataset / name).unlink()
    refused(capsys, *official_call(dataset, source, tmp_path / 'lists'),
            names=[name, 'git checkout'])


def test_different_lists_are_spared(tmp_path, capsys):
    source = WRITERS['msrvtt'](tmp_path / 'official')
    out = tmp_path / 'lists'
    call = official_call('msrvtt', source, out)
    mine = write(out / 'train_9k.json', '{"mine": ["x"]}\n')
    refused(capsys, *call, names=['train_9k.json', '--force'])
    assert os.listdir(out) == ['train_9k.json'] and 'mine' in mine.read_text()
    assert vifi(*call, '--force') == 0
    assert 'mine' not in mine.read_text()
    assert sorted(os.listdir(out)) == ['manifest.json', 'test_JSFUSION.json',
                                       'train_9k.json']
    # Captions are checked as well.
    check = ['splits', 'msrvtt', '--check', '--out', out, '--videos', tmp_path]
    refused(capsys, *check, names='video10.mp4')
    write(mine, '5')
    refused(capsys, *check, names='train_9k.json')
    # A failed write leaves nothing.
    (tmp_path / 'other/train_9k.json').mkdir(parents=True)
    refused(capsys, *official_call('msrvtt', source, tmp_path / 'other',
                                   '--force'), names='train_9k.json')
    assert os.listdir(tmp_path / 'other') == ['train_9k.json']


def test_force_deletes_the_lists_of_other_annotations(tmp_path, capsys):
    out = tmp_path / 'lists'
    old = out / 'few_shot_train_2shot_seed1.txt'
    assert make_own(tmp_path, '--shots', '2') == 0
    mine = write(out / 'few_shot_train_9shot_seed9.txt', 'mine.mp4 0\n')
    before = contents(out)
    # What was trained on is tested on now.
    rows = [re.sub('/([01]).mp4', lambda m: f'/{1 - int(m[1])}.mp4', row)
            for row in OWN_ROWS]
    refused(capsys, *own_call(tmp_path, rows=rows), names=[old.name,
                                                           '--force'])
    assert contents(out) == before
    # One that was changed since is spared.
    kept = old.read_text()
    write(old, 'mine.mp4 0\n')
    refused(capsys, *own_call(tmp_path, *SMALL, '--force', rows=rows),
            names=old.name)
    assert old.read_text() == 'mine.mp4 0\n'
    write(old, kept)
    assert contents(out) == before
    assert make_own(tmp_path, '--force', rows=rows) == 0
    assert old.name in capsys.readouterr().out and not old.exists()
    manifest = json.loads((out / 'manifest.json').read_text())
    assert old.name not in manifest['lists']
    assert mine.exists()  # no manifest vouches for it
    val = {path for path, _ in rows_of(out / 'val.txt')}
    for path in set(out.glob('*train*.txt')) - {mine}:
        assert not val & {path for path, _ in rows_of(path)}


def test_force_deletes_nothing_outside(tmp_path, capsys):
    assert make_own(tmp_path) == 0
    other = write(tmp_path / 'precious.txt', 'x')
    path = tmp_path / 'lists/manifest.json'
    manifest = json.loads(path.read_text())
    manifest['lists']['../precious.txt'] = dict(
        sha256=hashlib.sha256(b'x').hexdigest())
    write(path, json.dumps(manifest))
    rows = [*OWN_ROWS, 'stir/9.mp4,stir,val']
    refused(capsys, *own_call(tmp_path, rows=rows), names=[path, '--force'])
    assert make_own(tmp_path, '--force', rows=rows) == 0
    assert other.read_text() == 'x'


def test_force_spares_the_sources(tmp_path, capsys):
    out = tmp_path / 'lists'
    source = write(out / 'classes.txt', 'stir\n chop\n')
    link = tmp_path / 'linked.txt'
    link.symlink_to(source)
    for path in source, link:
        refused(capsys, *own_call(tmp_path, *SMALL, '--force', '--classes',
                                  path), names='classes.txt')
    assert os.listdir(out) == ['classes.txt']
    write(source, 'stir\nchop\n')  # as it would be written
    assert make_own(tmp_path, '--force', '--classes', source) == 0


def test_check(tmp_path, capsys):
    out, videos = tmp_path / 'lists', tmp_path / 'videos'
    assert make_own(tmp_path) == 0
    for row in OWN_ROWS[1:]:
        write(videos / row.split(',')[0], '')
    check = ['splits', 'kitchen', '--check', '--out', out, '--videos', videos]
    assert vifi(*check) == 0
    refused(capsys, *check[:-1], tmp_path / 'x', names='--videos')
    refused(capsys, 'splits', 'ucf101', *check[2:], names="'kitchen'")
    (videos / 'stir/1.mp4').unlink()
    refused(capsys, *check, names=['1 of 8', 'stir/1.mp4'])
    before = (out / 'train.txt').read_text()
    for text in before.replace('chop/2.mp4 0', 'chop/2.mp4 1'), before + 'x 0':
        write(out / 'train.txt', text)
        refused(capsys, *check, names='train.txt')
    (out / 'train.txt').unlink()
    refused(capsys, *check, names='train.txt is missing')
    # A manifest that is not ours, or damaged, is none.
    manifest = out / 'manifest.json'
    for text in '{', '[]', '{"tool": "mini_world"}', *(
            json.dumps(dict(tool='make_splits', dataset='kitchen', lists=x))
            for x in ({'train.txt': 'abc'}, {'train.txt': {'sha256': 5}},
                      {'../x.txt': {'sha256': 'x'}}, {}, 5)):
        write(manifest, text)
        refused(capsys, *check, names=[manifest])
        refused(capsys, *own_call(tmp_path), names=[manifest, '--force'])
        assert manifest.read_text() == text
