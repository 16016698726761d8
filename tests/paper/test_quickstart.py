"""The parts of the quick start; the whole is too long for a test."""
import json
import re

import cv2
import pytest
from commands import refused

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams
from projects.vifi_clip_tools.paper.quickstart import (draw_picture,
                                                       write_table)


def test_a_video_that_is_not_there(capsys):
    refused(capsys, 'quickstart', 'mine.mp4', names='mine.mp4')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """One clip of each class and split, 32 x 32 pixels; with target set."""
    out = tmp_path_factory.mktemp('quick') / 'mini'
    build(out, WorldParams(train_per_class=1, test_per_class=1, num_stills=3,
                           size=32), workers=1)
    return out


def _results(world, num_seeds):
    truth = [int(line.split()[-1]) for line in
             (world / 'annotations/val.txt').read_text().splitlines()]
    return {
        'frozen CLIP': [
            dict(single=20., multi=25., single_labels=[0] * len(truth))],
        'ViFi-CLIP (fine-tuned)': [
            dict(single=40. + 2 * i, multi=50. + 4 * i, single_labels=truth)
            for i in range(num_seeds)]}


def test_table_has_mean_and_spread(world, tmp_path, capsys):
    table = write_table(_results(world, 3), str(world), str(tmp_path))
    assert table in capsys.readouterr().out
    assert re.search(r'chance +\| 4\.2 +\| 4\.2', table)
    assert re.search(r'frozen CLIP +\| 20\.0 +\| 25\.0', table)
    # means of 40, 42, 44 and 50, 54, 58; sample standard deviations
    assert re.search(r'fine-tuned\) \| 42\.0 ± 2\.0 \| 54\.0 ± 4\.0 \| 3',
                     table)
    assert (tmp_path / 'results.md').read_text().strip() == table
    saved = json.loads((tmp_path / 'results.json').read_text())
    assert saved['frozen CLIP'][0]['multi'] == 25.
    single = write_table(_results(world, 1), str(world), str(tmp_path))
    assert '±' not in single


def test_picture(world, tmp_path):
    path = draw_picture(_results(world, 3), str(world), str(tmp_path))
    picture = cv2.imread(path)
    assert picture.shape[1] > 1000 and picture.std() > 10
