"""Embedding a list: labels, order, bad videos, stops and several processes."""
import threading

import numpy as np
import pytest
from helpers import write_mp4

from projects.vifi_clip_tools.embeddings import job as embed_job, embed_parts
from projects.vifi_clip_tools.embeddings.job import embed_videos
from projects.vifi_clip_tools.embeddings.embed_list import read_videos
from projects.vifi_clip_tools.embeddings.file import read_embeddings
from projects.vifi_clip_tools.embeddings import command as embed_tool
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer

NUMBER = 7


@pytest.fixture(scope='module')
def real():
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp('clips')
    for i in range(NUMBER):
        frames = np.full((8, 64, 64, 3), 30 * i, np.uint8)
        frames[:, 8:40, 8:40, i % 3] = 250
        write_mp4(root / f'{i}.mp4', frames=list(frames))
    lines = [f'{i}.mp4 {i % 2}\n' for i in range(NUMBER)]
    (root / 'list.txt').write_text(''.join(lines))
    return root


class Counting:
    """The inferencer, with a count, and a stop after some videos."""

    def __init__(self, real, stop_after=None):
        self.model, self.cfg = real.model, real.cfg
        self.real, self.stop_after, self.seen = real, stop_after, []

    def embed(self, videos, **kwargs):
        for result in self.real.embed(videos, **kwargs):
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(result['video'])
            yield result


def _list(clips, **kwargs):
    return read_videos([str(clips / 'list.txt')], str(clips), **kwargs)


def test_names_labels_order_and_record(real, clips, tmp_path):
    out = str(tmp_path / 'e.npz')
    embed_videos(real, _list(clips, classes='even, odd'), out, batch_size=3,
                 more=dict(config='small_world', checkpoint=None))
    found = read_embeddings(out)
    assert found.names == [f'{i}.mp4' for i in range(NUMBER)]
    assert found.labels.tolist() == [i % 2 for i in range(NUMBER)]
    assert found.class_names == ['even', 'odd']
    for name, embedding in zip(found.names, found.embeddings):
        own = next(real.embed(str(clips / name)))['embedding']
        np.testing.assert_allclose(embedding, own, atol=1e-5)
    assert len(np.unique(found.embeddings.round(4), axis=0)) == NUMBER
    record = found.record
    assert (record['config'], record['num_views'], record['num_frames']) == (
        'small_world', 1, real.num_frames)
    assert len(record['weights']) == 64
    assert not (tmp_path / 'e.npz.parts').exists()


def test_a_stop_loses_little_and_the_same_call_goes_on(
        real, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(embed_parts, 'MOST_VIDEOS', 2)
    out, videos = str(tmp_path / 'e.npz'), _list(clips)
    embed_videos(real, videos, str(tmp_path / 'whole.npz'))
    stopped, again = Counting(real, stop_after=5), Counting(real)
    with pytest.raises(KeyboardInterrupt):
        embed_videos(stopped, videos, out)
    # a machine that went down while it wrote
    (tmp_path / 'e.npz.parts' / '00000002.npz').write_bytes(b'PK')
    embed_videos(again, videos, out)
    assert again.seen == ['2.mp4', '3.mp4', '5.mp4', '6.mp4']
    assert (tmp_path / 'e.npz').read_bytes() == (
        tmp_path / 'whole.npz').read_bytes()


def test_other_settings_or_lists_are_not_mixed(real, clips, tmp_path):
    out, videos = str(tmp_path / 'e.npz'), _list(clips)
    with pytest.raises(KeyboardInterrupt):
        embed_videos(Counting(real, stop_after=3), videos, out)
    with pytest.raises(ValueError, match=r'e.npz.parts was made otherwise.*'
                       'num_views 1 there and 2 here.*--overwrite'):
        embed_videos(real, videos, out, num_views=2)
    bias = real.model.backbone.visual.ln_post.bias
    bias.data += 1
    try:
        with pytest.raises(ValueError, match='other weights'):
            embed_videos(real, videos, out)
    finally:
        bias.data -= 1
    fewer = read_videos([str(clips / '0.mp4'), str(clips / '1.mp4')])
    with pytest.raises(ValueError, match='another list of videos'):
        embed_videos(real, fewer, out)
    assert len(embed_videos(real, fewer, out, overwrite=True)) == 2
    with pytest.raises(ValueError, match='e.npz was made otherwise'):
        embed_videos(real, videos, out)
    none = Counting(real)
    embed_videos(none, fewer, out)  # complete: nothing to do
    assert none.seen == []


def test_foreign_folder_is_left_alone(real, clips, tmp_path):
    mine = tmp_path / 'e.npz.parts' / 'mine.txt'
    mine.parent.mkdir()
    mine.write_text('x')
    for overwrite in False, True:
        with pytest.raises(ValueError, match='holds mine.txt'):
            embed_videos(real, _list(clips), str(tmp_path / 'e.npz'),
                         overwrite=overwrite)
    assert mine.read_text() == 'x'


def test_bad_video_is_named_and_tried_again(clips, tmp_path, capsys):
    path, out = tmp_path / 'l.txt', str(tmp_path / 'e.npz')
    bad = tmp_path / 'bad.mp4'
    path.write_text(f'{clips}/0.mp4 0\n{bad} 1\n{clips}/1.mp4 1\n'
                    f'{clips}/0.mp4 1\n')  # one file twice
    bad.write_bytes(b'no video')
    args = [str(path), '--out', out, '--config', 'small_world', '--device',
            'cpu']
    with pytest.raises(SystemExit) as caught:
        embed_tool.main(args)
    assert caught.value.code == 1
    assert f'{bad} cannot be read: ' in capsys.readouterr().err
    found = read_embeddings(out)
    assert found.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(found.embeddings[0], found.embeddings[2])
    assert [(f['index'], f['video']) for f in found.failed] == [(1, str(bad))]
    embed_tool.main([*args, '--allow-bad'])
    bad.write_bytes((clips / '2.mp4').read_bytes())
    embed_tool.main(args)
    assert read_embeddings(out).failed == []
    assert read_embeddings(out).labels.tolist() == [0, 1, 1, 1]


def test_no_readable_video(real, tmp_path):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    out = tmp_path / 'e.npz'
    with pytest.raises(ValueError, match='none of the 1 videos'):
        embed_videos(real, read_videos([str(bad)]), str(out))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bad.mp4']


def test_processes_share_a_list(real, clips, tmp_path, monkeypatch):
    """Threads stand in for processes."""
    wait = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(
        embed_job, 'rank_and_world',
        lambda: (int(threading.current_thread().name), 2))
    monkeypatch.setattr(embed_job, 'barrier', lambda world: wait.wait())
    out, shares, got = str(tmp_path / 'e.npz'), {}, {}

    def process(rank):
        shares[rank] = Counting(real)
        got[rank] = embed_videos(shares[rank], _list(clips), out)

    threads = [threading.Thread(target=process, args=(i, ), name=str(i))
               for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert shares[0].seen == ['0.mp4', '2.mp4', '4.mp4', '6.mp4']
    assert shares[1].seen == ['1.mp4', '3.mp4', '5.mp4']
    assert got[1] is None and got[0].names == [
        f'{i}.mp4' for i in range(NUMBER)]
    for name, embedding in zip(got[0].names, got[0].embeddings):
        own = next(real.embed(str(clips / name)))['embedding']
        np.testing.assert_allclose(embedding, own, atol=1e-5)


def test_lists_and_folders(clips, tmp_path):
    folder = read_videos([str(clips)])
    assert folder.labels is None and len(folder) == NUMBER
    names = tmp_path / 'names.txt'
    names.write_text('0.mp4\n1.mp4\n')
    assert read_videos([str(names)], str(clips)).labels is None
    for kwargs, error, message in [
            (dict(root='nowhere'), FileNotFoundError, 'nowhere is no folder'),
            (dict(root=str(tmp_path)), FileNotFoundError, 'none of the 7'),
            (dict(root=str(clips), classes='one'), ValueError,
             'list.txt:2.*out of range')]:
        with pytest.raises(error, match=message):
            read_videos([str(clips / 'list.txt')], **kwargs)
    with pytest.raises(ValueError, match='--root belongs to a list'):
        read_videos([str(clips)], root=str(clips))
    with pytest.raises(ValueError, match='one list'):
        read_videos([str(names), str(clips)])
