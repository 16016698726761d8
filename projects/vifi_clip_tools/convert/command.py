"""The options of ``vifi-clip convert``."""
import os.path as osp
from dataclasses import replace
from typing import Optional, Sequence

from ..cli.outputs import check_target
from ..cli.parsing import reader
from .options import ConvertOptions, files_beside

_EPILOG = """
sources:
  release       a file of the ViFi-CLIP paper's release (QuickGELU); none of
                its pickled code is run
  openai        OpenAI's TorchScript archive or state dict (QuickGELU)
  open_clip     OpenCLIP's .pt or .safetensors (GELU, unless --arch has it)
  transformers  model.safetensors or pytorch_model.bin of a CLIPModel or
                XCLIPModel, or the folder, whose config.json names the
                activation (QuickGELU if there is none)
  xclip         a file of X-CLIP's release (QuickGELU)
  actionclip    a file of ActionCLIP's release, or of MMAction2's port of it
  efficient_prompting
                a file of Ju et al. (A5, A6)
  open_vclip, froster
                a file of Open-VCLIP or FROSTER, of an epoch or the mean of
                several
  tc_clip       a file of TC-CLIP's release
  vifi          a checkpoint of ours, or model.safetensors of a trained model

targets:
  transformers  a folder with a CLIPModel, its processor and tokenizer, or
                with an XCLIPModel; name FOLDER/model.safetensors
  xclip         for X-CLIP alone

examples:
  # the paper's file, with the token embeddings that it lacks
  vifi-clip convert vifi_clip_10_epochs_k400.pth vifi.pth \\
      --source release --target vifi --clip ViT-B-16.pt
  # a checkpoint of ours for OpenCLIP
  vifi-clip convert epoch_30.pth clip.safetensors \\
      --source vifi --target open_clip
  # a trained model for transformers' CLIPModel.from_pretrained('hf')
  vifi-clip convert work_dirs/kitchen/model/model.safetensors \\
      hf/model.safetensors --source vifi --target transformers
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> ConvertOptions:
    """Read the command line, and refuse what could not be finished."""
    options = reader(
        ConvertOptions, 'Convert a checkpoint from one layout to another',
        _EPILOG)(argv)
    options = replace(
        options, report=options.report or f'{options.dst}.report.json')
    _check(options)
    return options


def _check(options: ConvertOptions) -> None:
    """Refuse what could not be finished (ValueError)."""
    src, dst, target = options.src, options.dst, options.target
    inputs = [src] + ([] if options.clip is None else [options.clip])
    inputs = [path if osp.exists(path) else path.rpartition('#')[0] or path
              for path in inputs]  # FILE#KEY
    for path in inputs:
        if not osp.exists(path):
            raise ValueError(f'no such file: {path!r}')
    if options.arch and osp.isfile(options.arch):
        inputs.append(options.arch)
    if osp.isdir(src) and options.source != 'transformers':
        raise ValueError(f'{src} is a folder; name the file in it')
    if target == 'transformers' and osp.basename(dst) != 'model.safetensors':
        raise ValueError(f'{dst}: name it FOLDER/model.safetensors; its '
                         'config is written beside it')
    if target not in ('open_clip', 'transformers') and dst.endswith(
            '.safetensors'):
        raise ValueError(f'{dst}: --target {target} is written by torch.save; '
                         'name it .pth')
    if options.drop_prompts and target not in ('open_clip', 'transformers'):
        raise ValueError('--drop-prompts is for --target open_clip and '
                         f'transformers; the layout of {target} holds them')
    if osp.realpath(options.report) == osp.realpath(dst):
        raise ValueError(f'--report and DST are the same file: {dst}')
    outputs = [('DST', dst), ('--report', options.report)]
    if target == 'transformers':
        outputs += [(f'{path.name} of DST', str(path))
                    for path in files_beside(dst)]
    for name, path in outputs:
        if not path:
            raise ValueError(f'{name} is empty; name the file to write')
        folder = osp.dirname(osp.abspath(path))
        if osp.exists(path) and any(
                osp.samefile(used, folder if osp.isdir(used) else path)
                for used in inputs):
            raise ValueError(f'{name} {path} would be written over itself '
                             'while it is read; name another file')
        if osp.isfile(path) and not options.force:
            raise ValueError(f'{name} {path} exists; --force overwrites it')
        check_target(name, path, ('', ))


def run(options: ConvertOptions) -> None:
    """Read, convert, write, report."""
    from .run import convert
    convert(options)
