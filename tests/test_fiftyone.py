"""FiftyOne's zoo, where it is installed, loads and runs a model of ours."""
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import LABELS, coded_frame, write_mp4

REPO = Path(__file__).parents[1]
SOURCE = REPO / 'integrations/fiftyone'


MANIFEST = json.loads((SOURCE / 'manifest.json').read_text())


def test_the_source_hides_no_package():
    """FiftyOne imports it as a module of its name."""
    assert not importlib.util.find_spec(MANIFEST['name'])


@pytest.mark.skipif(not importlib.util.find_spec('fiftyone'),
                    reason='FiftyOne is not installed')
def test_a_video(tmp_path):
    """Labels and embeddings of a video are ours, after the source was copied
    from its repository as FiftyOne registers it."""
    shutil.copytree(SOURCE, tmp_path / 'zoo' / MANIFEST['name'])
    path = write_mp4(tmp_path / 'a.mp4', frames=[
        coded_frame(i, (64, 64)) for i in range(24)])
    done = subprocess.run(
        [sys.executable, REPO / 'tests/fiftyone_check.py', tmp_path / 'zoo',
         path, *LABELS], text=True, capture_output=True, timeout=300, env={
             **os.environ, 'HOME': str(tmp_path), 'PYTHONPATH': str(REPO),
             'FIFTYONE_DO_NOT_TRACK': '1'})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['label'] == found['ours'] and found['label'][0] in LABELS
    assert found['own'] in found['classes']
    for name in 'embeddings', 'texts':
        first, *others = np.array(found[name])
        assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
        for other in others:
            np.testing.assert_allclose(first, other, atol=1e-6)
    clip = np.array(found['clip'])
    assert np.linalg.norm(clip) == pytest.approx(1, abs=1e-5)
    assert np.abs(clip - np.array(found['embeddings'][0])).max() > 1e-4
