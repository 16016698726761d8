"""The table and the contact sheet say what was found."""
import numpy as np
from search_world import COLOURS, colour_clip

from projects.vifi_clip_tools.search.sheet import (contact_sheet, encode,
                                                   format_hits, read_frames,
                                                   stack)
from projects.vifi_clip_tools.search.store import Hit


def main_colour(picture) -> str:
    mean = np.asarray(picture, float).reshape(-1, 3).mean(0)
    return min(COLOURS, key=lambda c: np.abs(mean - COLOURS[c]).sum())


def test_frames_are_of_the_window(tmp_path):
    path = colour_clip(tmp_path / 'a.mp4', 'red', 'green', 'blue', 'red',
                       frames=25)
    for span, colours in [
            ((None, None), ['red', 'green', 'blue', 'red']),
            ((1., 2.), 4 * ['green']),
            ((1., 3.), 2 * ['green'] + 2 * ['blue'])]:
        frames, problem = read_frames(Hit(path, *span, 1.))
        assert [main_colour(f) for f in frames] == colours and not problem


def test_a_sheet_shows_each_hit_in_its_place(tmp_path):
    hits = [Hit(colour_clip(tmp_path / f'{c}.mp4', c), None, None, 0.5)
            for c in ('red', 'green', 'blue')]
    sheet = contact_sheet(hits, 'colours')
    pixels = np.asarray(sheet).reshape(-1, 3).astype(int)
    rows = {}
    for colour, rgb in COLOURS.items():
        near = np.abs(pixels - rgb).sum(1) < 60
        assert near.sum() > 4 * 118 * 118  # four frames
        rows[colour] = np.flatnonzero(near).mean() // sheet.width
    assert rows['red'] < rows['green'] < rows['blue']
    for name, start in ('a.png', b'\x89PNG'), ('a.JPG', b'\xff\xd8'):
        assert encode(sheet, name).startswith(start)
    two_columns = contact_sheet(2 * hits, 'colours')
    assert two_columns.width > 1.9 * sheet.width
    assert stack([sheet, two_columns]).size == (
        two_columns.width, sheet.height + two_columns.height)


def test_a_video_that_is_gone_or_broken_keeps_its_place(tmp_path):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    for path in bad, tmp_path / 'gone.mp4':
        frames, problem = read_frames(Hit(str(path), None, None, 1.))
        assert not frames and problem
    sheet = contact_sheet([Hit(str(bad), 1., 2., 0.1)], 'q' * 500)
    good = colour_clip(tmp_path / 'good.mp4', 'red')
    assert sheet.size == contact_sheet([Hit(good, 0., 0.2, 0.1)], 'q').size
    assert contact_sheet([], 'nothing').height > 60


def test_the_table_fits_a_terminal():
    lines = format_hits([
        Hit('/data/' + 'long/' * 40 + 'the_name.mp4', 3605., 3700., 0.12345),
        Hit('/v/短い.mp4', 59.96, 61.24, -0.5),
        Hit('/映画/' + '長い' * 60 + 'a\nb\x1b[31m.mp4', None, None, 1.),
    ]).splitlines()
    assert lines[1].split()[:3] == ['1', '0.123', '1:00:05-1:01:40']
    assert '...' in lines[1] and lines[1].endswith('/the_name.mp4')
    assert lines[2].split() == ['2', '-0.500', '1:00.0-1:01.2', '/v/短い.mp4']
    assert lines[3].endswith('a?b?[31m.mp4')
    for line in lines:
        assert sum(2 if ord(c) > 0x2e80 else 1 for c in line) <= 80
