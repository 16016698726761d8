import os

import pytest

from projects.vifi_clip.datasets.video_list import (check_video_root,
                                                    find_missing,
                                                    read_video_list)


def write(path, text):
    path.write_text(text)
    return str(path)


def test_lines(tmp_path):
    path = write(tmp_path / 'l.txt',
                 'a.mp4 0\n\nmy  dir/b c.mp4  12\r\n d.mp4 -0 \n')
    assert read_video_list(path) == [('a.mp4', 0), ('my  dir/b c.mp4', 12),
                                     ('d.mp4', 0)]
    path = write(tmp_path / 'l.csv', 'a b,c.mp4, 3\n')
    assert read_video_list(path, ',') == [('a b,c.mp4', 3)]


@pytest.mark.parametrize('line, parts', [
    ('b.mp4', []),
    ('b.mp4\t1', []),
    ('b.mp4 cat', []),
    ('b.mp4 1.0', []),
    ('b.mp4 1_0', []),
    ('b.mp4 -1', []),
    ('b.mp4 5', ['5 classes']),
    (' 3', []),
])
def test_malformed_lines(tmp_path, line, parts):
    path = write(tmp_path / 'l.txt', f'a.mp4 0\n\n{line}\nc.mp4 1\n')
    for allow in (False, True):
        with pytest.raises(ValueError) as error:
            read_video_list(path, num_classes=5, allow_unlabelled=allow)
        for part in [f'{path}:3: ', repr(line), *parts]:
            assert part in str(error.value)


def test_unlabelled_lists(tmp_path):
    path = write(tmp_path / 'l.txt', 'a.mp4\nb.mp4\n')
    assert read_video_list(
        path, num_classes=5, allow_unlabelled=True) == [('a.mp4', -1),
                                                        ('b.mp4', -1)]
    with pytest.raises(ValueError, match=r'l.txt:1: no label'):
        read_video_list(path)


def test_empty_and_absent_lists(tmp_path):
    with pytest.raises(ValueError, match='l.txt: the list holds no video'):
        read_video_list(write(tmp_path / 'l.txt', '\n \n'))
    with pytest.raises(FileNotFoundError, match=r'absent.txt.*ann_file=\.\.'):
        read_video_list(str(tmp_path / 'absent.txt'))


def test_check_video_root(tmp_path):
    check_video_root('')
    check_video_root(None)
    check_video_root('s3://bucket/videos')
    check_video_root(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r'data_prefix=dict\(video='):
        check_video_root(str(tmp_path / 'absent'))


def test_find_missing_lists_each_folder_once(tmp_path, monkeypatch):
    (tmp_path / 'x').mkdir()
    for name in ('x/a.mp4', 'x/noext.mp4', 'b.mp4'):
        (tmp_path / name).touch()
    paths = [
        f'{tmp_path}/{name}'
        for name in ('x/a.mp4', 'x/c.mp4', 'b.mp4', 'y/a.mp4', 'x/noext',
                     'x/other', 'b.mp4/a.mp4')
    ] + ['s3://bucket/a.mp4']
    calls, scandir = [], os.scandir

    def counting(folder):
        calls.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, 'scandir', counting)
    assert find_missing(paths) == [1, 3, 5, 6]
    assert len(calls) == len(set(calls)) == 4
    monkeypatch.chdir(tmp_path)
    assert find_missing(['b.mp4', 'c.mp4']) == [1]


def test_only_files_count_as_there(tmp_path):
    (tmp_path / 'a.mp4').touch()
    (tmp_path / 'folder.mp4').mkdir()
    (tmp_path / 'dangling.mp4').symlink_to(tmp_path / 'nowhere')
    (tmp_path / 'loop.mp4').symlink_to(tmp_path / 'loop.mp4')
    (tmp_path / 'link.mp4').symlink_to(tmp_path / 'a.mp4')
    names = 'a.mp4', 'folder.mp4', 'dangling.mp4', 'loop.mp4', 'link.mp4'
    assert find_missing([str(tmp_path / name) for name in names]) == [1, 2, 3]
