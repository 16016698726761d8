"""Exported classifiers on videos with labels."""
import os.path as osp

import numpy as np
import pytest
from export_world import open_once

from projects.vifi_clip.datasets.video_list import read_video_list
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.export import accuracy


def test_accuracies_side_by_side():
    first = np.array([[.9, .1], [.6, .4], [.2, .8], [.3, .7]])
    second = np.array([[.8, .2], [.4, .6], [.2, .8], [.3, .7]])
    rows = accuracy.summarise(dict(a=first, b=second),
                              np.array([0, 0, 1, 0]))
    assert [(row.file, row.top1, row.changed) for row in rows] == [
        ('a', .75, 0), ('b', .5, 1)]
    assert rows[1].difference == pytest.approx(.2)
    assert accuracy.table(rows, 4).endswith('top-1 by -25.00 points')


def test_videos_of_a_list_and_of_a_config(onnx_files, prompted, videos):
    infer = prompted
    found = accuracy.find_videos(str(videos / 'list.txt'), str(videos), infer)
    expected = [infer.video_scores(infer.sample(path).images)
                for path, _ in found]
    path = osp.join(onnx_files.folder, 'classifier.onnx')
    row, = accuracy.evaluate_files({'a': open_once(path)}, found,
                                   lambda images: images, infer)
    right = [scores.argmax() == label
             for scores, (_, label) in zip(expected, found)]
    assert row.top1 == pytest.approx(np.mean(right))

    with pytest.raises(UserError, match='has no test set'):
        accuracy.find_videos('config', None, infer)
    (videos / 'names.txt').write_text('\n'.join(infer.class_names) + '\n')
    (videos / 'other.txt').write_text('one\ntwo\n')
    dataset = dict(ann_file='list.txt', data_root=str(videos),
                   data_prefix=dict(video=''),
                   class_file=str(videos / 'names.txt'))
    infer.cfg.test_dataloader = dict(dataset=dataset)
    try:
        assert accuracy.find_videos('config', None, infer) == found
        infer.cfg.test_dataloader.dataset.class_file = str(
            videos / 'other.txt')
        with pytest.raises(UserError, match='has other classes'):
            accuracy.find_videos('config', None, infer)
    finally:
        infer.cfg.pop('test_dataloader')
    with pytest.raises(FileNotFoundError, match='3 of 3 videos are absent'):
        accuracy.find_videos(str(videos / 'list.txt'), str(videos.parent),
                             infer)
    assert read_video_list(str(videos / 'list.txt'))[2] == ('2.mp4', 2)
