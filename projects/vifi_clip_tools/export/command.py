"""``vifi-clip export``: a model as files that run without this project."""
from dataclasses import replace
from typing import Optional, Sequence

from ..cli.parsing import reader
from .options import ExportOptions

_EXAMPLES = """examples:
  vifi-clip export --config small_world --out exported/
  vifi-clip export --config vifi_k400 --checkpoint vifi.pth --out exported/ \\
      --labels "arm wrestling, playing cards"
  vifi-clip export --config vifi_mini --checkpoint vifi_mini.pth --int8 \\
      --evaluate config --out exported/

Each file is run and compared with the model at every frame count and batch
size. If they differ by more than 1e-4, the exit code is 1 and no file is left.
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> ExportOptions:
    """Read and check the command line of export."""
    options = reader(
        ExportOptions, 'Export a model to ONNX or torch.export, and check it',
        _EXAMPLES)(argv)
    return replace(options, model=replace(options.model, device='cpu'))


def run(options: ExportOptions) -> Optional[int]:
    """Export, check and report."""
    from .run import export
    return export(options)
