"""A file of predictions that goes on after a stop."""
import csv
import json
import os
import tracemalloc
from pathlib import Path

import pytest

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


def fill(out, *results, record=RECORD, overwrite=False) -> ResultsFile:
    """Write in one run, stopped before the end; a line is there at once."""
    with ResultsFile(out, 2) as file:
        there = os.path.exists(out) and not overwrite
        assert file.prepare(record, overwrite) is there
        with file.writer(0, 1) as add:
            for line in results:
                add(line)
                assert rows(out)[-1][:2] == (line['video'],
                                             line.get('error', ''))
    return file


def rows(out) -> list:
    """Name, error and best score of each line, as others would read them."""
    if out.endswith('.csv'):
        with open(out, newline='', errors='surrogateescape') as file:
            return [(row['video'], row['error'], row['score'])
                    for row in csv.DictReader(file)]
    with open(out, 'rb') as file:
        return [(row['video'], row.get('error', ''),
                 f'{row["scores"][0]:.6f}' if 'scores' in row else '')
                for row in map(json.loads, file)]


def test_failed_videos_are_tried_again_in_their_places(out):
    good = dict(zip(NAMES, [.5, .51, .52, .53, .54]))
    file = fill(out, result(NAMES[0], .5), bad(NAMES[1]),
                *(result(name, good[name]) for name in NAMES[2:]))
    assert file.done() == {*NAMES} - {NAMES[1]}
    file = fill(out, result(NAMES[1], .51), bad('new'))
    assert file.merge([*NAMES, 'new']) == [('new', 'no frames')]
    assert rows(out) == [*((name, '', f'{score:.6f}') for name, score in
                           good.items()), ('new', 'no frames', '')]
    assert json.loads(Path(f'{out}.meta.json').read_text()) == RECORD


def test_any_cut_loses_one_line_at_most(out):
    """Every byte at which a process could have been killed."""
    names = NAMES[1:3]
    fill(out, *map(result, names))
    whole, header = Path(out).read_bytes(), len(ResultsFile(out, 2).header)
    ends = [line.end for line in ResultsFile(out, 2).lines(out)]
    assert len(ends) == len(names) and ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        Path(out).write_bytes(whole[:size])
        kept = sum(end <= size for end in ends)
        assert fill(out).done() == set(names[:kept])
        # and the next line stands alone
        assert Path(out).read_bytes() == whole[:[header, *ends][kept]]


def test_parts_of_processes(out):
    """A result wins over an error and comes once; nothing else is left."""
    with ResultsFile(out, 2) as file:
        file.prepare(RECORD, False)
        for rank, lines in enumerate([[bad('a'), result('b')],
                                      [result('a', .6)],
                                      [result('a', .7)], [bad('a')]]):
            with file.writer(rank, 4) as add:
                for line in lines:
                    add(line)
        assert rows(out) == []
        assert file.merge(['b', 'a', 'c']) == []
    assert rows(out) == [('b', '', '0.750000'), ('a', '', '0.600000')]
    assert {str(path) for path in Path(out).parent.iterdir()} == {
        out, f'{out}.meta.json'}
    # videos may be added; others that were there come first
    fill(out, result('c')).merge(['c', 'a'])
    assert [row[0] for row in rows(out)] == ['b', 'c', 'a']


@pytest.mark.parametrize('name, value', [
    ('labels', ['p', 'r']), ('weights', 'abd'), ('num_views', 4)])
def test_other_settings_are_refused(out, name, value):
    fill(out, result('a'))
    before = rows(out)
    with pytest.raises(ValueError, match=f'{name}.*--overwrite'):
        fill(out, record={**RECORD, name: value})
    assert rows(out) == before
    fill(out, result('b'), record=dict(RECORD, version='2'))  # a note
    fill(out, result('c'), record={**RECORD, name: value}, overwrite=True)
    assert [row[0] for row in rows(out)] == ['c']


@pytest.mark.parametrize('line', [
    'and, more', '{"video": ["a"], "label": "p", "scores": [1.0]}',
    '{"video": "a"}', '{"video": "a", "scores": []}',
    '{"video": "a", "scores": ["x"]}', '{"video": "a", "error": null}',
    '{"video": "a", "error": ""}', pytest.param('[' * 10**5, id='deep'),
    pytest.param('a' * 200_000, id='long')])
def test_damaged_lines(out, line):
    """The message names the line of the file; a row may have several."""
    fill(out, result(NAMES[1]))
    whole, bad_line = Path(out).read_bytes(), f'{line}\n'.encode()
    for before in b'', whole:
        content = before + bad_line + whole
        Path(out).write_bytes(content)
        number = before.count(b'\n') + 1
        with pytest.raises(ValueError, match=f'line {number}:'):
            fill(out)
        assert Path(out).read_bytes() == content


def test_a_name_with_a_carriage_return(out):
    fill(out, result('a\rb.mp4'))
    assert fill(out, result('c.mp4')).done() == {'a\rb.mp4', 'c.mp4'}


def test_two_at_a_time_are_refused(out):
    stems = {NAMES[2]: 'x', 'größe': 'y'}
    with ResultsFile(out, 2) as file:
        file.prepare(RECORD, False)
        file.keep_stems(stems)
        for overwrite in False, True:
            with pytest.raises(ValueError, match='another process'):
                fill(out, overwrite=overwrite)
    assert fill(out).stems() == stems


@pytest.mark.parametrize('stems', [
    3, ['x'], {'a.mp4': 3}, {'a.mp4': '../x'}, {'a.mp4': '/x'}])
def test_a_record_names_no_other_folder(out, stems):
    """It may come from anybody, and pictures of these names are replaced."""
    Path(f'{out}.meta.json').write_text(json.dumps(dict(RECORD, stems=stems)))
    assert fill(out).stems() == {}


def test_columns_and_numbers():
    table = ResultsFile('r.csv', 3)
    assert table.header == (b'video,label,score,error,label_1,score_1,'
                            b'label_2,score_2,label_3,score_3\n')
    assert table.encode(dict(result('a'), label='none of these')) == (
        b'a,none of these,0.750000,,p,0.750000,q,0.250000,,\n')
    line = ResultsFile('r.jsonl', 3).encode(result('a', 1 / 3))
    assert json.loads(line) == dict(video='a', label='p', labels=['p', 'q'],
                                    scores=[.333333, .666667])


def test_many_videos(tmp_path):
    """Memory is of names, not of results."""
    out = str(tmp_path / 'r.jsonl')
    names = [f'{i}.mp4' for i in range(1500)]
    labels = [f'a label {i}' + ' of some length' * 40 for i in range(20)]
    with ResultsFile(out, 20) as file:
        line = file.encode(dict(video='NAME', label=labels[0], labels=labels,
                                scores=[.05] * 20))
        file.prepare(RECORD, False)
        for rank in range(2):
            Path(f'{out}.part{rank}').write_bytes(b''.join(
                line.replace(b'NAME', name.encode())
                for name in names[rank::2]))
        tracemalloc.start()
        file.merge(names)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert os.path.getsize(out) > 15e6 and peak < 3e6
    assert [row[0] for row in rows(out)] == names
