"""The decode benchmark on real clips, and on readers that misbehave."""
import json
from pathlib import Path

import decord
import numpy as np
import pytest
from helpers import read_index, write_mp4
from mmaction.registry import TRANSFORMS

from benchmarks import decode as bench_decode, decode_child
from benchmarks.bench_decode_report import recommend, table
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip.errors import UserError

SIZE = (96, 64)


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    """Three clips and their list."""
    folder = tmp_path_factory.mktemp('clips')
    names = [Path(write_mp4(folder / f'clip {i}.mp4', 20 + i, SIZE)).name
             for i in range(3)]
    (folder / 'list.txt').write_text(''.join(f'{n} 0\n' for n in names))
    return folder


def bench(*args) -> dict:
    return bench_decode.main([str(arg) for arg in args])


@pytest.mark.parametrize('name', ['decord', 'pyav', 'opencv'])
@pytest.mark.parametrize('threads', [1, 2])
def test_each_reads_the_frames_asked_for(clips, name, threads):
    version, read = decode_child.MAKERS[name]()
    count, frames = read(str(clips / 'clip 1.mp4'), [0, 3, 11, 20], threads)
    assert version and count == 21
    assert frames.shape == (4, 64, 96, 3) and frames.dtype == np.uint8
    assert [read_index(frame) for frame in frames] == [0, 3, 11, 20]
    assert frames[0][..., 2].mean() > 100 > frames[0][..., 0].mean()  # RGB


def test_figures_and_table(clips, tmp_path, capsys):
    out = tmp_path / 'out.json'
    figures = bench(clips / 'list.txt', '--num-frames', 4, '--repeats', 2,
                    '--readers', 'decord', 'pyav', 'opencv', '--max-videos',
                    2, '--out', out)
    said = capsys.readouterr().out
    assert json.loads(out.read_text()) == figures
    assert [Path(video).name for video in figures['videos']] == [
        'clip 0.mp4', 'clip 1.mp4']
    assert [(row['reader'], row['threads']) for row in figures['rows']] == [
        ('decord', 1), ('decord', 2), ('pyav', 1), ('pyav', 2),
        ('opencv', 1)]
    for row in figures['rows']:
        time = row['seconds']
        assert 0 < time['min'] <= time['median'] <= time['max'] < 60e3
        assert row['failed'] == 0
    for name in 'pyav', 'opencv':
        assert f'{name} agrees with decord' in said
        for one in figures['agreement'][name]:
            assert one['mean'] < 2 and one['shape'] == [4, 64, 96, 3]
    best = figures['recommended']['reader']
    assert f'Recommended for data workers: {best}' in said
    for line in figures['recommended']['config']:
        assert line in said
        assert TRANSFORMS.build(eval(line))
    assert figures['machine']['cores'] >= 1


def fake_decord(folder: Path, body: str) -> Path:
    """A package that is imported as decord is, 20 frames a file."""
    (folder / 'decord').mkdir(parents=True)
    (folder / 'decord/__init__.py').write_text(
        'import os, types\nimport numpy as np\n__version__ = "9.9"\n'
        'class VideoReader:\n'
        '    def __init__(self, file, num_threads): pass\n'
        '    def __len__(self): return 20\n'
        '    def get_batch(self, indices):\n'
        f'        {body}\n'
        '        return types.SimpleNamespace(asnumpy=lambda: frames)\n')
    return folder


@pytest.mark.parametrize('body, said_of_it', [
    ('frames = np.zeros((len(indices), 64, 96, 3), np.uint8)',
     'grey levels apart'),
    ('frames = np.zeros((len(indices), 96, 64, 3), np.uint8)',
     'frames of another size'),
    ('raise OSError("broken\\nin two lines")', 'OSError: broken'),
    ('os._exit(7)', 'crashed (exit code 7)')])
def test_a_reader_that_is_wrong_is_not_recommended(clips, tmp_path, capsys,
                                                   body, said_of_it):
    folder = fake_decord(tmp_path / 'fake', body)
    figures = bench(clips / 'clip 0.mp4', '--num-frames', 4, '--repeats', 1,
                    '--threads', 1, '--readers', 'decord', 'decord2',
                    '--path', f'decord2={folder}')
    said = capsys.readouterr().out
    assert 'decord2 does NOT agree with decord' in said and said_of_it in said
    assert figures['recommended']['reader'] == 'decord'
    assert figures['readers'] == dict(
        decord=decord.__version__, decord2='9.9')


def test_decord_is_not_taken_for_decord2(clips, capsys):
    figures = bench(clips / 'clip 0.mp4', '--readers', 'decord', 'decord2',
                    '--repeats', 1, '--num-frames', 2)
    assert list(figures['readers']) == ['decord']
    assert 'pip install --no-deps --target' in figures['absent']['decord2']
    assert 'decord2' in capsys.readouterr().out


def figures_of(times, apart=0.) -> dict:
    """Hand-made figures: medians by reader and threads."""
    names = dict.fromkeys(name for name, _ in times)
    rows = [dict(reader=name, threads=threads, failed=0, seconds=dict(
        median=ms, min=ms, max=ms), cpu=dict(median=ms, min=ms, max=ms))
        for (name, threads), ms in times.items()]
    return dict(
        rows=rows, tolerance=2., num_frames=2, videos=['a.mp4'], absent={},
        machine=dict(cpu='x', cores=1), readers=dict.fromkeys(names, '1'),
        agreement={name: [dict(video='a.mp4', count=9, shape=[2, 1, 1, 3],
                               mean=apart if name == 'pyav' else 0., most=9)]
                   for name in names})


@pytest.mark.parametrize('times, apart, reader, faster', [
    # one thread counts, for workers are many
    ({('decord', 1): 100, ('decord', 2): 50, ('pyav', 1): 80,
      ('pyav', 2): 70}, 0., 'pyav', None),
    # 4 % is no reason to change
    ({('decord', 1): 104, ('pyav', 1): 100}, 0., 'decord', None),
    # wrong frames are no frames
    ({('decord', 1): 100, ('pyav', 1): 10}, 2.5, 'decord', None),
    ({('decord', 1): 100, ('torchcodec', 1): 60}, 0., 'decord',
     'torchcodec'),
    ({('torchcodec', 1): 60}, 0., None, None)])
def test_recommendation(times, apart, reader, faster):
    figures = figures_of(times, apart)
    best = figures['recommended'] = recommend(figures)
    assert (best['reader'], best['faster']) == (reader, faster)
    said = table(figures)
    assert (f'Recommended for data workers: {reader}' in said) == (
        reader is not None)


def test_videos_that_cannot_be_read(tmp_path, clips):
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    with pytest.raises(UserError, match='bad.mp4: no reader can read it'):
        bench(clips / 'clip 0.mp4', tmp_path / 'bad.mp4', '--readers',
              'decord', 'pyav', '--repeats', 1)


@pytest.mark.parametrize('args, said', [
    (['no.mp4'], 'No such video: no.mp4'),
    (['--num-frames', '0'], '--num-frames 0'),
    (['--repeats', '0'], '--repeats 0'),
    (['--threads', '0'], '--threads 0'),
    (['--out', 'figures.txt'], 'figures.txt'),
    (['--path', 'decord2=/no/such/folder'], 'decord2=/no/such/folder'),
    (['--path', 'ffmpeg=/tmp'], 'ffmpeg=/tmp')])
def test_bad_input(clips, capsys, args, said):
    argv = [str(clips / 'clip 0.mp4'), *args]
    assert run_main(bench_decode.main, argv) == 2
    assert said in capsys.readouterr().err


def test_lists(clips, tmp_path, capsys):
    assert run_main(bench_decode.main, [
        str(clips / 'list.txt'), str(clips / 'clip 0.mp4')]) == 2
    assert 'is a list; give it alone' in capsys.readouterr().err
    assert run_main(bench_decode.main, [
        str(clips / 'list.txt'), '--root', str(tmp_path)]) == 2
    assert 'is --root right?' in capsys.readouterr().err
