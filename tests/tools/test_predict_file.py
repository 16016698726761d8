"""A file of predictions that goes on after a stop."""
import csv
import json
import os

import pytest

from projects.vifi_clip_tools.predict.results_file import (PredictionFile,
                                                           meta_path)
from projects.vifi_clip_tools.predict.predict_lines import Lines

RECORD = dict(version='1', weights='abc', labels=['p', 'q'], topk=2)
NAMES = ['a.mp4', 'line\nend, "b".mp4', os.fsdecode(b'\xff.mp4'), 'd.mp4',
         'größe.mp4']


def result(name, score=.75) -> dict:
    return dict(video=name, label='p', labels=['p', 'q'],
                scores=[score, 1 - score])


def bad(name) -> dict:
    return dict(video=name, error=f'{name} cannot be read: no\n frames')


@pytest.fixture(params=['.jsonl', '.csv'])
def out(request, tmp_path) -> str:
    return str(tmp_path / f'r{request.param}')


def fill(out, results, record=RECORD, **kwargs) -> PredictionFile:
    """One run, stopped before the end."""
    with PredictionFile(out, 2) as file:
        file.prepare(record, kwargs.pop('overwrite', False))
        with file.writer(0, 1) as writer:
            for one in results:
                writer.add(one)
    return file


def rows(out) -> list:
    """Name, error and best score of each line, as others would read them."""
    if out.endswith('.csv'):
        with open(out, newline='', errors='surrogateescape') as file:
            return [(row['video'], row['error'], row['score'])
                    for row in csv.DictReader(file)]
    with open(out, 'rb') as file:
        found = map(json.loads, file)
        return [(row['video'], row.get('error', ''),
                 '{:.6f}'.format(row['scores'][0]) if 'scores' in row else '')
                for row in found]


def test_lines_are_on_disk_at_once(out):
    with PredictionFile(out, 2) as file:
        assert file.prepare(RECORD, False) is False
        with file.writer(0, 1) as writer:
            for i, name in enumerate(NAMES):
                writer.add(result(name, .5 + i / 100))
                assert rows(out)[-1] == (name, '', f'{.5 + i / 100:.6f}')
        assert file.done() == set(NAMES)
    with open(meta_path(out), encoding='utf-8') as meta:
        assert json.load(meta) == RECORD


def test_failed_videos_are_tried_again_in_their_places(out):
    fill(out, [result(NAMES[0]), bad(NAMES[1]), result(NAMES[2])])
    with PredictionFile(out, 2) as file:
        assert file.prepare(RECORD, False) is True
        assert file.done() == {NAMES[0], NAMES[2]}
        with file.writer(0, 1) as writer:
            writer.add(result(NAMES[1]))
            writer.add(bad(NAMES[3]))
        assert file.merge(NAMES[:4]) == [(NAMES[3], 'no frames')]
    assert [row[0] for row in rows(out)] == NAMES[:4]
    assert [row[1] for row in rows(out)] == ['', '', '', 'no frames']


def test_any_cut_loses_one_line_at_most(out):
    """Every byte at which a process could have been killed."""
    fill(out, [result(name) for name in NAMES])
    with open(out, 'rb') as file:
        whole = file.read()
    ends = [place.end for place in PredictionFile(out, 2).lines.places(out)]
    assert len(ends) == len(NAMES) and ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        with open(out, 'wb') as file:
            file.write(whole[:size])
        kept = sum(end <= size for end in ends)
        with PredictionFile(out, 2) as again:
            again.prepare(RECORD, False)
            assert again.done() == set(NAMES[:kept])
        with open(out, 'rb') as file:  # and the next line stands alone
            assert file.read() == whole[:ends[kept - 1] if kept else len(
                again.lines.header)]


def test_parts_of_processes(out):
    with PredictionFile(out, 2) as file:
        file.prepare(RECORD, False)
        for rank in range(3):
            with file.writer(rank, 3) as writer:
                for name in NAMES[rank::3]:
                    writer.add(result(name))
        assert rows(out) == []
        assert file.merge(NAMES) == []
    assert [row[0] for row in rows(out)] == NAMES
    assert sorted(os.listdir(os.path.dirname(out))) == sorted(
        os.path.basename(p) for p in (out, meta_path(out)))


def test_a_result_wins_over_an_error_and_comes_once(out):
    with PredictionFile(out, 2) as file:
        file.prepare(RECORD, False)
        for rank, one in enumerate([bad('a'), result('a', .6),
                                    result('a', .7), bad('a')]):
            with file.writer(rank, 4) as writer:
                writer.add(one)
        assert file.merge(['a', 'b']) == []
    assert rows(out) == [('a', '', '0.600000')]


def test_other_videos_stay(out):
    """More videos may be added to a file; those that were there come first.
    """
    fill(out, [result('z'), result('y')])
    file = fill(out, [result('a')])
    file.merge(['a', 'y'])
    assert [row[0] for row in rows(out)] == ['z', 'a', 'y']


@pytest.mark.parametrize('change, said', [
    (dict(labels=['p', 'r']), 'other labels'),
    (dict(weights='abd'), 'other weights'),
    (dict(topk=3), 'topk 2 there and 3 here'),
    (dict(num_views=4), 'num_views None there and 4 here')])
def test_other_settings_are_refused(out, change, said):
    fill(out, [result('a')])
    before = rows(out)
    with pytest.raises(ValueError, match=f'{said}.*--overwrite'):
        fill(out, [], dict(RECORD, **change))
    assert rows(out) == before
    fill(out, [result('b')], dict(RECORD, version='2'))  # a note
    fill(out, [result('c')], dict(RECORD, **change), overwrite=True)
    assert [row[0] for row in rows(out)] == ['c']


def test_foreign_files_are_left_alone(out):
    with open(out, 'w') as file:
        file.write('my notes\n')
    with pytest.raises(ValueError, match='exists and is no unfinished work'):
        fill(out, [])
    with open(meta_path(out), 'w') as file:
        file.write('{"half')
    with pytest.raises(ValueError, match='meta.json is damaged'):
        fill(out, [])
    with open(meta_path(out), 'w') as file:
        json.dump(RECORD, file)
    with open(out, 'a') as file:
        file.write('and, more\n')
    with pytest.raises(ValueError, match='line 1, is no prediction'):
        fill(out, [])
    with open(out) as file:
        assert file.read() == 'my notes\nand, more\n'


def test_two_at_a_time_are_refused(out):
    with PredictionFile(out, 2) as file:
        file.prepare(RECORD, False)
        for overwrite in False, True:
            with pytest.raises(ValueError, match='another process is writ'):
                fill(out, [], overwrite=overwrite)
        with file.writer(0, 1) as writer:
            writer.add(result('a'))
        file.merge(['a'])
    fill(out, [result('b')])
    assert [row[0] for row in rows(out)] == ['a', 'b']


def test_columns_and_numbers():
    lines = Lines(True, 3)
    text = lines.encode(dict(result('a'), label='none of these')).decode()
    assert lines.header.decode().strip().split(',') == [
        'video', 'label', 'score', 'error', 'label_1', 'score_1', 'label_2',
        'score_2', 'label_3', 'score_3']
    assert text == 'a,none of these,0.750000,,p,0.750000,q,0.250000,,\n'
    found = json.loads(Lines(False, 3).encode(result('a', 1 / 3)))
    assert found == dict(video='a', label='p', labels=['p', 'q'],
                         scores=[.333333, .666667])


def test_a_hundred_thousand_videos(tmp_path):
    """Memory is of names, not of results."""
    import tracemalloc
    out = str(tmp_path / 'r.jsonl')
    names = [f'{i:07d}.mp4' for i in range(20000)]
    labels = [f'a label of some length {i}' for i in range(20)]
    line = Lines(False, 20).encode(dict(
        video='NAME', label=labels[0], labels=labels, scores=[.05] * 20))
    with PredictionFile(out, 20) as file:
        file.prepare(RECORD, False)
        for rank in range(2):
            with open(f'{out}.part{rank}', 'wb') as part:
                for name in names[rank::2]:
                    part.write(line.replace(b'NAME', name.encode()))
        tracemalloc.start()
        file.merge(names)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert os.path.getsize(out) > 15e6 and peak < 15e6
    with open(out) as found:
        assert [json.loads(text)['video'] for text in found] == names
