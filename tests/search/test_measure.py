"""The measurement measures what it says."""
import tempfile

import numpy as np
import pytest

from projects.vifi_clip.search import measure, nearest


def test_it_fills_searches_and_cleans_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setattr(nearest, 'MIN_ROWS', 300)
    lines = []
    found = measure.measure(500, dim=16, kinds=['IVF_FLAT'], num_queries=12,
                            say=lines.append)
    assert found['exact_recall'] == 1 and found['rows'] == 500
    assert 0 < found['exact_seconds'] < 5
    assert found['bytes'] > 500 * 16 * 4
    assert 0.5 < found['IVF_FLAT']['recall'] <= 1
    assert max(len(part) for line in lines for part in line.split('\n')) <= 80
    assert not list(tmp_path.iterdir())


def test_synthetic_embeddings_lie_in_groups_if_they_are_to():
    grouped = measure.draw(2000, 64, True)
    np.testing.assert_allclose(np.linalg.norm(grouped, axis=1), 1, atol=1e-5)
    nearest_of = np.sort(grouped @ grouped.T)[:, -2]  # but itself
    assert np.median(nearest_of) > 0.6  # two of a group: 0.5 on average
    alone = measure.draw(2000, 64, False)
    # what the largest of 2000 cosines is, each of variance 1/64
    assert np.median(np.sort(alone @ alone.T)[:, -2]) < 0.5


def test_it_refuses_what_cannot_be_measured(monkeypatch):
    with pytest.raises(ValueError, match='at least 10 embeddings, got 3'):
        measure.measure(3)
    with pytest.raises(ValueError, match='GiB in .* has less; set TMPDIR'):
        measure.measure(10**12)
