"""What --force must not overwrite, and what it must not leave behind."""
import hashlib
import json
import os

import pytest
import split_files as files
from split_files import OWN_ROWS as ROWS
from split_files import SMALL
from split_files import make_own as make
from split_files import refused, rows_of, write

from projects.vifi_clip_tools.splits import class_index
from projects.vifi_clip_tools.splits.cli import main


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A copy of the committed class lists, in place of the true ones."""
    copy = tmp_path / 'data_splits'
    for dataset in 'ucf101', 'k600':
        for path in (files.PUBLISHED / dataset).glob('*classes*.txt'):
            write(copy / dataset / path.name, path.read_text())
    monkeypatch.setattr(class_index, 'PUBLISHED', copy)
    return copy


def test_committed_class_lists_are_never_overwritten(
        tmp_path, capsys, published):
    source = files.write_ucf101(tmp_path / 'official')
    names = files.names_of('ucf101')
    halves = [str(write(tmp_path / name, '\n'.join(part) + '\n'))
              for name, part in (('b.txt', names[60:]), ('n.txt', names[:60]))]
    folder = published / 'ucf101'
    before = contents(folder)
    call = ['ucf101', '--annotations', str(source), *SMALL, '--force',
            '--halves', *halves]
    refused(capsys, main([*call, '--out', str(folder)]),
            'base_classes.txt', 'Give --out')
    assert contents(folder) == before
    assert main([*call, '--out', str(tmp_path / 'mine')]) == 0


@pytest.mark.parametrize('dataset, name', [
    ('ucf101', 'novel_classes.txt'), ('ucf101', 'classes.txt'),
    ('k600', 'zero_shot_2_classes.txt')])
def test_a_missing_published_list(tmp_path, capsys, published, dataset, name):
    source = tmp_path / 'official'
    if dataset == 'k600':
        files.write_kinetics(source, 'k600')
    else:
        files.write_ucf101(source)
    (published / dataset / name).unlink()
    call = [dataset, '--annotations', str(source), '--out',
            str(tmp_path / 'lists')]
    call += [] if dataset == 'k600' else SMALL
    refused(capsys, main(call), name, 'git checkout')


def test_force_deletes_the_lists_of_other_annotations(tmp_path, capsys):
    out = tmp_path / 'lists'
    assert make(tmp_path, '--shots', '2') == 0
    mine = write(out / 'few_shot_train_9shot_seed9.txt', 'mine.mp4 0\n')
    # What was trained on is tested on now.
    rows = [ROWS[0]] + [
        row.replace('/0.mp4', '/x.mp4').replace('/1.mp4', '/0.mp4').replace(
            '/x.mp4', '/1.mp4') for row in ROWS[1:]]
    refused(capsys, make(tmp_path, rows=rows), 'few_shot_train_2shot_seed1',
            '--force to delete')
    assert make(tmp_path, '--force', rows=rows) == 0
    assert 'few_shot_train_2shot_seed1.txt' in capsys.readouterr().out
    assert not (out / 'few_shot_train_2shot_seed1.txt').exists()
    assert mine.exists()  # no manifest vouches for it
    val = {path for path, _ in rows_of(out / 'val.txt')}
    for path in set(out.glob('*train*.txt')) - {mine}:
        assert not val & {path for path, _ in rows_of(path)}


def test_force_spares_an_old_list_that_was_changed(tmp_path, capsys):
    out = tmp_path / 'lists'
    assert make(tmp_path, '--shots', '2') == 0
    write(out / 'few_shot_train_2shot_seed1.txt', 'mine.mp4 0\n')
    before = contents(out)
    rows = [*ROWS, 'stir/9.mp4,stir,val']
    refused(capsys, make(tmp_path, '--force', rows=rows),
            'few_shot_train_2shot_seed1.txt', 'changed since')
    assert contents(out) == before


def test_force_deletes_nothing_outside(tmp_path, capsys):
    out = tmp_path / 'lists'
    assert make(tmp_path) == 0
    other = write(tmp_path / 'precious.txt', 'x')
    manifest = json.loads((out / 'manifest.json').read_text())
    manifest['lists']['../precious.txt'] = dict(
        sha256=hashlib.sha256(b'x').hexdigest())
    write(out / 'manifest.json', json.dumps(manifest))
    rows = [*ROWS, 'stir/9.mp4,stir,val']
    refused(capsys, make(tmp_path, rows=rows), '../precious.txt')
    assert make(tmp_path, '--force', rows=rows) == 0
    assert other.read_text() == 'x'


def test_force_spares_the_sources(tmp_path, capsys):
    out = tmp_path / 'lists'
    classes = write(out / 'classes.txt', 'stir\n chop\n')
    options = '--classes', str(classes)
    refused(capsys, make(tmp_path, '--force', *options), 'classes.txt',
            'files that were read')
    assert os.listdir(out) == ['classes.txt']
    link = tmp_path / 'linked.txt'
    link.symlink_to(classes)
    refused(capsys, make(tmp_path, '--force', '--classes', str(link)),
            'files that were read')
    write(classes, 'stir\nchop\n')  # as it would be written
    assert make(tmp_path, '--force', *options) == 0
