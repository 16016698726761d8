"""What is reported of several test sets."""
import numpy as np
import pytest

from projects.vifi_clip.evaluation import summarise_sets

SPLITS = {f'hmdb51_{i}': {'acc/top1': value, 'acc/top5': 0.9}
          for i, value in enumerate((0.50, 0.52, 0.57), 1)}


def test_each_set_and_the_groups_mean_and_spread():
    found = summarise_sets(SPLITS, dict(hmdb51=list(SPLITS)))
    values = [0.50, 0.52, 0.57]
    assert found['hmdb51_2/acc/top1'] == 0.52
    assert found['hmdb51/acc/top1_mean'] == pytest.approx(np.mean(values))
    assert found['hmdb51/acc/top1_std'] == pytest.approx(
        np.std(values, ddof=1))
    assert found['hmdb51/acc/top5_std'] == 0


def test_harmonic_mean_is_the_papers():
    # HMDB-51, ViFi-CLIP (paper Table 2): 73.8 and 53.3 give 61.9
    metrics = dict(base={'acc/top1': 0.738}, novel={'acc/top1': 0.533})
    found = summarise_sets(metrics, {}, ('base', 'novel'))
    assert round(found['HM/acc/top1'], 3) == 0.619
    assert found['base/acc/top1'] == 0.738


def test_harmonic_mean_of_nothing_right():
    metrics = dict(base={'acc/top1': 0.}, novel={'acc/top1': 0.})
    assert summarise_sets(metrics, {}, ('base', 'novel'))['HM/acc/top1'] == 0


def test_counts_of_bad_videos_are_not_averaged():
    metrics = dict(a={'acc/top1': 0.5, 'num_bad': 2.}, b={'acc/top1': 0.7})
    found = summarise_sets(metrics, dict(ab=['a', 'b']))
    assert found['a/num_bad'] == 2
    assert found['ab/acc/top1_mean'] == pytest.approx(0.6)
    assert not any('num_bad_' in key for key in found)
