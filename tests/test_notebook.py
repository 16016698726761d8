"""The notebook runs from its first cell to its last, and learns."""
import re
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient

REPO = Path(__file__).parents[1]


class _ThisPython(KernelSpecManager):
    """The kernel is this Python, whatever kernels are installed."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(
            argv=[sys.executable, '-m', 'ipykernel_launcher', '-f',
                  '{connection_file}'],
            display_name='Python 3', language='python')


@pytest.mark.slow
def test_video_to_model(tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    notebook = nbformat.read(
        REPO / 'docs/notebooks/video_to_model.ipynb', as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(
        notebook, timeout=400, kernel_name='python3',
        resources=dict(metadata=dict(path=str(tmp_path))))
    client.create_kernel_manager()
    client.km.kernel_spec_manager = _ThisPython()
    client.execute()
    outputs = [output for cell in notebook.cells
               for output in cell.get('outputs', [])]
    printed = ''.join(output.get('text', '') for output in outputs)
    before, after = map(float, re.search(
        r'before ([\d.]+)%, after ([\d.]+)%', printed).groups())
    assert 100 / 3 < before < after, printed
    assert sum('image/png' in output.get('data', {})
               for output in outputs) == 1
