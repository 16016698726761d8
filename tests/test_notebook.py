"""The notebook runs from its first cell to its last, and learns."""
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPO = Path(__file__).parents[1]


NOTEBOOK = REPO / 'docs/notebooks/video_to_model.ipynb'


def outputs_of(notebook) -> list:
    """Check what the cells printed and drew; return the outputs."""
    outputs = [output for cell in notebook.cells
               for output in cell.get('outputs', [])]
    printed = ''.join(output.get('text', '') for output in outputs)
    before, after = map(float, re.search(
        r'before ([\d.]+)%, after ([\d.]+)%', printed).groups())
    assert 100 / 3 < before < after, printed
    assert sum('image/png' in output.get('data', {})
               for output in outputs) == 1
    return outputs


def test_outputs_are_stored():
    """For who reads it on the web; without paths of the machine."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert '/tmp' not in str(outputs_of(notebook))
    assert all(cell.execution_count for cell in notebook.cells
               if cell.cell_type == 'code')
    assert NOTEBOOK.stat().st_size < 300_000


@pytest.mark.slow
def test_video_to_model(tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    # the kernel of this Python, whatever kernels the user has
    monkeypatch.setenv('JUPYTER_PREFER_ENV_PATH', '1')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(
        notebook, timeout=400, kernel_name='python3',
        resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    outputs_of(notebook)
