"""Prediction on videos of one's own."""
import pytest
import torch
from tools_world import PIPELINES

from projects.vifi_clip.apis.launch import run_main
from projects.vifi_clip.apis.predict import main, read_labels


@pytest.fixture
def config(write_config):
    return write_config(test_pipeline=PIPELINES['test'],
                        randomness=dict(seed=0))


def test_scores_of_own_labels(config, shared_world, capsys):
    videos = [str(shared_world / f'videos/val_{i}.mp4') for i in range(2)]
    torch.manual_seed(0)
    results = main([config, 'none', *videos, '--labels', 'a cat, a dog,a cow',
                    '--device', 'cpu'])
    assert len(results) == 2
    for scores in results:
        assert set(scores) == {'a cat', 'a dog', 'a cow'}
        assert abs(sum(scores.values()) - 1) < 1e-5
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
    printed = capsys.readouterr().out
    assert all(video in printed for video in videos) and 'a cow' in printed


def test_labels_from_a_file_and_the_config(config, shared_world, tmp_path):
    path = tmp_path / 'labels.txt'
    path.write_text('one\ntwo\n')
    assert read_labels(str(path)) == ['one', 'two']
    video = str(shared_world / 'videos/val_0.mp4')
    scores, = main([config, 'none', video, '--topk', '2', '--device', 'cpu'])
    names = (shared_world / 'classes.txt').read_text().splitlines()
    assert len(scores) == 2 and set(scores) <= set(names)


@pytest.mark.parametrize('video, options, message', [
    ('absent.mp4', [], 'No such video: absent.mp4'),
    ('empty.mp4', [], 'empty.mp4 cannot be read'),
    ('videos/val_0.mp4', ['--labels', 'a,,b'], 'empty'),
    ('videos/val_0.mp4', ['--labels', 'a,b,a'], "'a'"),
    ('videos/val_0.mp4', ['--labels', 'no.txt'], 'no.txt'),
    ('videos/val_0.mp4', ['--labels', ''], 'empty'),
    ('videos/val_0.mp4', ['--labels', 'videos'], 'no list of classes'),
    ('videos/val_0.mp4', ['--topk', '0'], 'at least 1')])
def test_bad_input_is_one_message(config, world, video, options, message,
                                  capsys, monkeypatch):
    monkeypatch.chdir(world)
    (world / 'empty.mp4').touch()
    assert run_main(main, [config, 'none', video, *options,
                           '--device', 'cpu']) == 2
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error
