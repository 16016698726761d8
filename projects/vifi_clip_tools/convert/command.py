"""``tools/convert_checkpoint.py``: checkpoints of one project for another."""
from __future__ import annotations

import argparse
import io
import os
import os.path as osp
import tempfile
from typing import TYPE_CHECKING, Optional, Sequence

from ..cli.options import HelpFormatter

if TYPE_CHECKING:
    from .report import Report

# Of models.conversion, which would take seconds to import for --help.
SOURCES = ('release', 'openai', 'open_clip', 'transformers', 'vifi')
TARGETS = ('vifi', 'open_clip', 'release')
_EPILOG = """
sources:
  release       a file of the ViFi-CLIP paper's release (QuickGELU); nothing
                that is pickled in it is run
  openai        OpenAI's TorchScript archive or state dict (QuickGELU)
  open_clip     OpenCLIP's .pt or .safetensors (GELU, unless --arch has it)
  transformers  model.safetensors or pytorch_model.bin of a CLIPModel, or the
                folder, whose config.json says which activation (QuickGELU
                where there is none)
  vifi          a checkpoint of ours

examples:
  # the paper's file, with the token embeddings that it lacks
  vifi-clip convert vifi_clip_10_epochs_k400.pth vifi.pth \\
      --source release --target vifi --clip ViT-B-16.pt
  # a checkpoint of ours for OpenCLIP
  vifi-clip convert epoch_30.pth clip.safetensors \\
      --source vifi --target open_clip
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of conversion."""
    parser = argparse.ArgumentParser(
        description='Convert a checkpoint from one layout to another',
        epilog=_EPILOG,
        formatter_class=HelpFormatter)
    parser.add_argument('src', help='file to read (transformers: or folder)')
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--source', choices=SOURCES, required=True,
                        help='layout of SRC')
    parser.add_argument('--target', choices=TARGETS, required=True,
                        help='layout of DST')
    parser.add_argument(
        '--clip', metavar='FILE', help='a whole CLIP, in any layout, for the '
        'weights that SRC lacks: the token embeddings of a released file, or '
        'what a checkpoint of ours left out (save_trainable_only)')
    parser.add_argument(
        '--arch', help='OpenCLIP model name, or a .json file like its '
        'model_configs (default: what the file states, else told from the '
        'shapes)')
    parser.add_argument(
        '--drop-prompts', action='store_true',
        help='write an OpenCLIP file without the learnt prompts')
    parser.add_argument(
        '--report', metavar='FILE',
        help='where to list every key (default: DST.report.json)')
    parser.add_argument('--force', action='store_true',
                        help='write over existing files')
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Refuse what could not be finished, before any work.

    Raises:
        FileNotFoundError: An input is absent.
        ValueError: An output is an input, exists, or cannot be written.
    """
    if not args.dst:
        raise ValueError('DST is empty; name the file to write.')
    inputs = [args.src] + ([] if args.clip is None else [args.clip])
    for path in inputs:
        if not osp.exists(path):
            raise FileNotFoundError(f'No such file: {path!r}')
    if args.arch and osp.isfile(args.arch):
        inputs.append(args.arch)
    if osp.isdir(args.src) and args.source != 'transformers':
        raise ValueError(f'{args.src} is a folder; name the file in it.')
    if args.dst.endswith('.safetensors') and args.target != 'open_clip':
        raise ValueError(f'{args.dst}: --target {args.target} is written as '
                         'torch.save does; name it .pth.')
    if args.drop_prompts and args.target != 'open_clip':
        raise ValueError('--drop-prompts is for --target open_clip; the '
                         f'layout of {args.target} has a place for them.')
    for path in args.dst, args.report:
        _check_output(path, inputs, args.force)
    if osp.realpath(args.report) == osp.realpath(args.dst):
        raise ValueError(f'--report and DST are one file: {args.dst}')


def _check_output(path: str, inputs: Sequence[str], force: bool) -> None:
    folder = osp.dirname(osp.abspath(path))
    if osp.exists(path):
        if any(osp.samefile(path, p) or
               (osp.isdir(p) and osp.samefile(folder, p)) for p in inputs):
            raise ValueError(f'{path} would be written over itself while it '
                             'is read; name another file.')
        if osp.isdir(path):
            raise ValueError(f'{path} is a folder; name a file in it.')
        if not force:
            raise ValueError(f'{path} exists; --force writes over it.')
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f'{path} cannot be written: '
                         f'{error.strerror}: {folder}') from error


def main(argv: Optional[Sequence[str]] = None) -> Report:
    """Read, convert, write, report.

    Raises:
        FileNotFoundError: An input is absent.
        ValueError: An input does not hold what is asked for, or an output
            cannot be written; nothing is then written.
    """
    args = parse_args(argv)
    args.report = args.report or f'{args.dst}.report.json'
    check_args(args)
    import safetensors.torch
    import torch

    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    from .run import convert
    from .source import read_source
    from projects.vifi_clip.models.pretrained import read_clip_state_dict
    source = read_source(args.src, args.source)
    base = read_clip_state_dict(args.clip) if args.clip else None
    content, report = convert(source, args.target, base, args.clip, args.arch,
                              args.drop_prompts)
    if args.dst.endswith('.safetensors'):
        data = safetensors.torch.save(content['state_dict'])
    else:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getbuffer()
    backend = AtomicLocalBackend()
    backend.put(data, args.dst)
    backend.put(report.as_json().encode(), args.report)
    size = os.path.getsize(args.dst) / 2**20
    print(f'{report.summary()}\nwrote {args.dst} ({size:.1f} MiB); every key '
          f'is listed in {args.report}')
    return report
