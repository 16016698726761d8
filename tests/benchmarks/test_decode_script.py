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
def test_each_reads_the_frames_asked_for(clips, name):
    frames = decode.READERS[name](str(clips / 'clip 1.mp4'), [0, 3, 11, 20])
    assert frames.shape == (4, 64, 96, 3) and frames.dtype == np.uint8
    assert [read_index(frame) for frame in frames] == [0, 3, 11, 20]
    assert frames[0][..., 2].mean() > 100 > frames[0][..., 0].mean()  # RGB


def _raise(*_):
    raise OSError('broken\nin two lines')


def test_figures_and_readers_that_are_wrong(clips, tmp_path, monkeypatch,
                                            capsys):
    for name, shape in dict(grey=(64, 96, 3), size=(96, 64, 3)).items():
        monkeypatch.setitem(decode.READERS, name, lambda _, indices, s=shape:
                            np.zeros((len(indices), *s), np.uint8))
    monkeypatch.setitem(decode.READERS, 'broken', _raise)
    out = tmp_path / 'out.json'
    figures = decode.main([
        str(clips / 'list.txt'), '--num-frames', '4', '--repeats', '2',
        '--max-videos', '2', '--out', str(out)])
    assert json.loads(out.read_text()) == figures
    assert [Path(video).name for video in figures['videos']] == [
        'clip 0.mp4', 'clip 1.mp4']
    assert {'vifi', 'decord', 'pyav', 'opencv'} <= set(figures['readers'])
    assert all(0 < row['seconds'] < 60e3
               for row in figures['readers'].values())
    assert {'grey', 'size', 'broken'} <= set(figures['left_out'])
    assert 'left out' in capsys.readouterr().out


@pytest.mark.parametrize('args, names', [
    (['no.mp4'], 'no.mp4'),
    (['list.txt', '--root', '/no/such'], '/no/such'),
    (['clip 0.mp4', '--repeats', '0'], '--repeats')])
def test_bad_input(clips, monkeypatch, capsys, args, names):
    monkeypatch.chdir(clips)
    with pytest.raises(SystemExit) as end:
        decode.main(args)
    assert end.value.code == 2 and names in capsys.readouterr().err
