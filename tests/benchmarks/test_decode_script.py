"""benchmarks/decode.py on real clips, and on readers that misbehave."""
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import read_index, write_mp4

from benchmarks import decode


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    """Three clips and their list."""
    folder = tmp_path_factory.mktemp('clips')
    names = [Path(write_mp4(folder / f'clip {i}.mp4', 20 + i, (96, 64))).name
             for i in range(3)]
    (folder / 'list.txt').write_text(''.join(f'{n} 0\n' for n in names))
    return folder


@pytest.mark.parametrize('name', ['vifi', 'decord', 'pyav', 'opencv'])
@pytest.mark.parametrize('threads', [1, 2])
def test_each_reads_the_frames_asked_for(clips, name, threads):
    frames = decode.read(name, str(clips / 'clip 1.mp4'), [0, 3, 11, 20],
                         threads, keep=True)['frames']
    assert frames.shape == (4, 64, 96, 3) and frames.dtype == np.uint8
    assert [read_index(frame) for frame in frames] == [0, 3, 11, 20]
    assert frames[0][..., 2].mean() > 100 > frames[0][..., 0].mean()  # RGB


@pytest.mark.slow
def test_figures_and_table(clips, tmp_path, capsys):
    out = tmp_path / 'out.json'
    figures = decode.main([
        str(clips / 'list.txt'), '--num-frames', '4', '--repeats', '2',
        '--readers', 'pyav', 'opencv', '--max-videos', '2', '--out',
        str(out)])
    assert json.loads(out.read_text()) == figures
    assert [Path(video).name for video in figures['videos']] == [
        'clip 0.mp4', 'clip 1.mp4']
    assert [(row['reader'], row['threads']) for row in figures['rows']] == [
        (name, threads) for name in ('vifi', 'pyav', 'opencv')
        for threads in (1, 2)]
    assert all(0 < row['seconds'] < 60e3 for row in figures['rows'])
    assert figures['left_out'] == {} and 'pyav' in capsys.readouterr().out


class InProcess:
    """A child that is this process."""

    def call(self, function, *args):
        try:
            return function(*args)
        except Exception as error:
            raise decode.Failure(str(error))


def _raise(*_):
    raise OSError('broken')


@pytest.mark.parametrize('reader, why', [
    (lambda *_: np.zeros((4, 64, 96, 3), np.uint8), 'grey levels'),
    (lambda *_: np.zeros((4, 96, 64, 3), np.uint8), 'size'),
    (_raise, 'broken')])
def test_a_reader_that_is_wrong_is_left_out(clips, monkeypatch, reader, why):
    monkeypatch.setitem(decode.READERS, 'wrong', reader)
    figures = decode.measure(
        {name: InProcess() for name in ('vifi', 'wrong')},
        [str(clips / 'clip 0.mp4')], 4, 1, [1])
    assert [row['reader'] for row in figures['rows']] == ['vifi']
    assert why in figures['left_out']['wrong']


@pytest.mark.parametrize('args, names', [
    (['no.mp4'], 'no.mp4'),
    (['list.txt', '--root', '/no/such'], '/no/such'),
    (['clip 0.mp4', '--repeats', '0'], '--repeats')])
def test_bad_input(clips, monkeypatch, capsys, args, names):
    monkeypatch.chdir(clips)
    with pytest.raises(SystemExit) as end:
        decode.main(args)
    assert end.value.code == 2 and names in capsys.readouterr().err
