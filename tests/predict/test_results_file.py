"""A file of predictions that goes on after a stop."""
import csv
import json
import os

import pytest

from projects.vifi_clip_tools.predict.lines import Lines
from projects.vifi_clip_tools.predict.results_file import ResultsFile

RECORD = dict(version='1', weights='abc', labels=['p', 'q'], topk=2)
NAMES = ['a.mp4', 'line\nend, "b".mp4', os.fsdecode(b'\xff.mp4'), 'd.mp4',
         'größe.mp4']


def result(name, score=.75) -> dict:
    return dict(video=name, label='p', labels=['p', 'q'],
                scores=[score, 1 - score])


def bad(name) -> dict:
    return dict(video=name, error='no frames')


@pytest.fixture(params=['.jsonl', '.csv'])
def out(request, tmp_path) -> str:
    return str(tmp_path / f'r{request.param}')


def fill(out, results, record=RECORD, overwrite=False) -> ResultsFile:
    """One run, stopped before the end."""
    with ResultsFile(out, 2) as file:
        file.prepare(record, overwrite)
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
    with ResultsFile(out, 2) as file:
        assert file.prepare(RECORD, False) is False
        with file.writer(0, 1) as writer:
            for i, name in enumerate(NAMES):
                writer.add(result(name, .5 + i / 100))
                assert rows(out)[-1] == (name, '', f'{.5 + i / 100:.6f}')
        assert file.done() == set(NAMES)
    with open(f'{out}.meta.json', encoding='utf-8') as meta:
        assert json.load(meta) == RECORD


def test_failed_videos_are_tried_again_in_their_places(out):
    fill(out, [result(NAMES[0]), bad(NAMES[1]), result(NAMES[2])])
    with ResultsFile(out, 2) as file:
        assert file.prepare(RECORD, False) is True
        assert file.done() == {NAMES[0], NAMES[2]}
        with file.writer(0, 1) as writer:
            writer.add(result(NAMES[1]))
            writer.add(bad(NAMES[3]))
        assert file.merge(NAMES[:4]) == [(NAMES[3], 'no frames')]
    assert [row[:2] for row in rows(out)] == [
        (NAMES[0], ''), (NAMES[1], ''), (NAMES[2], ''),
        (NAMES[3], 'no frames')]


def test_any_cut_loses_one_line_at_most(out):
    """Every byte at which a process could have been killed."""
    fill(out, [result(name) for name in NAMES])
    with open(out, 'rb') as file:
        whole = file.read()
    ends = [place.end for place in ResultsFile(out, 2).lines.places(out)]
    assert len(ends) == len(NAMES) and ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        with open(out, 'wb') as file:
            file.write(whole[:size])
        kept = sum(end <= size for end in ends)
        with ResultsFile(out, 2) as again:
            again.prepare(RECORD, False)
            assert again.done() == set(NAMES[:kept])
        with open(out, 'rb') as file:  # and the next line stands alone
            assert file.read() == whole[:ends[kept - 1] if kept else len(
                again.lines.header)]


def test_parts_of_processes(out):
    """A result wins over an error and comes once; nothing else is left."""
    with ResultsFile(out, 2) as file:
        file.prepare(RECORD, False)
        for rank, lines in enumerate([[bad('a'), result('b')],
                                      [result('a', .6)],
                                      [result('a', .7)], [bad('a')]]):
            with file.writer(rank, 4) as writer:
                for one in lines:
                    writer.add(one)
        assert rows(out) == []
        assert file.merge(['b', 'a', 'c']) == []
    assert rows(out) == [('b', '', '0.750000'), ('a', '', '0.600000')]
    assert sorted(os.listdir(os.path.dirname(out))) == sorted(
        os.path.basename(p) for p in (out, f'{out}.meta.json'))


def test_other_videos_stay(out):
    """More videos may be added to a file; those that were there come first.
    """
    fill(out, [result('z'), result('y')])
    fill(out, [result('a')]).merge(['a', 'y'])
    assert [row[0] for row in rows(out)] == ['z', 'a', 'y']


@pytest.mark.parametrize('name, value', [
    ('labels', ['p', 'r']), ('weights', 'abd'), ('topk', 3),
    ('num_views', 4)])
def test_other_settings_are_refused(out, name, value):
    fill(out, [result('a')])
    before = rows(out)
    with pytest.raises(ValueError, match=f'{name}.*--overwrite'):
        fill(out, [], {**RECORD, name: value})
    assert rows(out) == before
    fill(out, [result('b')], dict(RECORD, version='2'))  # a note
    fill(out, [result('c')], {**RECORD, name: value}, overwrite=True)
    assert [row[0] for row in rows(out)] == ['c']


@pytest.mark.parametrize('line', [
    'and, more', '{"video": ["a"], "label": "p", "scores": [1.0]}',
    '{"video": "a"}', '{"video": "a", "scores": []}',
    '{"video": "a", "scores": ["x"]}', '{"video": "a", "error": null}',
    '{"video": "a", "error": ""}'])
def test_damaged_lines(out, line):
    fill(out, [result('b')])
    with open(out, 'rb') as file:
        good = file.read()
    content = f'{line}\n'.encode() + good
    with open(out, 'wb') as file:
        file.write(content)
    with pytest.raises(ValueError, match='line 1'):
        fill(out, [])
    with open(out, 'rb') as file:
        assert file.read() == content


def test_two_at_a_time_are_refused(out):
    with ResultsFile(out, 2) as file:
        file.prepare(RECORD, False)
        file.keep_stems({NAMES[2]: 'x', 'größe': 'y'})
        assert file.stems() == {NAMES[2]: 'x', 'größe': 'y'}
        for overwrite in False, True:
            with pytest.raises(ValueError, match='another process'):
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


def test_many_videos(tmp_path):
    """Memory is of names, not of results."""
    import tracemalloc
    out = str(tmp_path / 'r.jsonl')
    names = [f'{i:07d}.mp4' for i in range(20000)]
    labels = [f'a label of some length {i}' for i in range(20)]
    line = Lines(False, 20).encode(dict(
        video='NAME', label=labels[0], labels=labels, scores=[.05] * 20))
    with ResultsFile(out, 20) as file:
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
