"""From a model to exported files that were seen to work."""
import os
import os.path as osp
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from torch import nn
from tqdm import tqdm

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from ..cli.signals import ended_by_signals
from projects.vifi_clip.errors import UserError
from . import metadata
from .accuracy import Accuracy, Videos, evaluate_files
from .checking import TOLERANCE, Check, check_file, check_sizes
from .formats import (check_libraries, file_name, open_file, write_part,
                      written_files)
from .int8 import quantize_file
from .modules import PARTS, build_parts
from .readme import companions, write_companions


class CheckError(UserError):
    """An exported file does not give what the model gives."""

    def __init__(self, message: str, checks: List[Check]) -> None:
        super().__init__(message)
        self.checks = checks


@dataclass
class Options:
    """What to export.

    Args:
        form (str): 'onnx' or 'torch-export'.
        parts (Sequence[str]): Of 'video', 'text', 'classifier'.
        pixels (str): 'uint8' frames, or normalised 'float' ones.
        opset (int, optional): Of ONNX; None leaves it to torch.
        int8 (bool): Also write quantised copies (ONNX).
        frames (Sequence[int]): Frame counts to check at.
        batches (Sequence[int]): Batch sizes to check at.
    """
    form: str = 'onnx'
    parts: Sequence[str] = PARTS
    pixels: str = 'uint8'
    opset: Optional[int] = None
    int8: bool = False
    frames: Sequence[int] = (1, 4, 8, 16)
    batches: Sequence[int] = (1, 3)

    def models(self) -> List[str]:
        """Names of the model files, the int8 copies last."""
        kinds = (False, True) if self.int8 else (False, )
        return [file_name(part, self.form, int8)
                for int8 in kinds for part in self.parts]

    def files(self) -> List[str]:
        """Names of all files."""
        return self.models() + companions(self.form)


@dataclass
class Exported:
    """What was written and seen.

    Args:
        folder (str): Where.
        checks (list[Check]): Of each file, at each size.
        sizes (dict[str, int]): Bytes of each model file.
        products (dict[str, dict]): Of each int8 file, how many matrix
            products were quantised and left.
        accuracy (list[Accuracy]): Of the classifiers, if videos were given.
    """
    folder: str
    checks: List[Check] = field(default_factory=list)
    sizes: Dict[str, int] = field(default_factory=dict)
    products: Dict[str, dict] = field(default_factory=dict)
    accuracy: List[Accuracy] = field(default_factory=list)


def export_model(infer: ViFiCLIPInferencer,
                 out: str,
                 options: Options,
                 videos: Optional[Videos] = None) -> Exported:
    """Write a model's parts and check each against the model.

    The files appear in ``out`` when all are made and checked, and none of
    them if one fails.

    Args:
        infer (ViFiCLIPInferencer): The model, on CPU, with its label set.
        out (str): Folder; existing files of these names are replaced.
        options (Options): What to export.
        videos (list, optional): To compare the classifiers on; see
            :func:`.accuracy.find_videos`.

    Raises:
        CheckError: A file differs from the model by more than 1e-4.
        UserError: The model cannot be exported, or a library is missing.
    """
    check_libraries(options.form)
    modules = build_parts(infer.model, options.parts, options.pixels)
    os.makedirs(out, exist_ok=True)
    # may hold hundreds of MB
    with ended_by_signals(), tempfile.TemporaryDirectory(
            prefix='.export-', dir=out) as work:
        result = _make(infer, modules, work, options, videos)
        for name in os.listdir(work):
            os.replace(osp.join(work, name), osp.join(out, name))
    result.folder = out
    return result


def _make(infer: ViFiCLIPInferencer, modules: Dict[str, nn.Module],
          folder: str, options: Options,
          videos: Optional[Videos]) -> Exported:
    result = Exported(folder)
    meta = metadata.describe(infer.model, infer.cfg, infer.checkpoint,
                             options.pixels)
    steps = len(modules) * (3 if options.int8 else 2)
    with tqdm(total=steps, desc='export', unit='step', leave=False) as bar:
        for part, module in modules.items():
            _make_part(infer, part, module, meta, options, result, bar)
    for name in options.models():
        result.sizes[name] = sum(
            map(osp.getsize, written_files(osp.join(folder, name))))
    if videos:
        result.accuracy = _evaluate(infer, modules['classifier'], videos,
                                    result)
    largest = {}
    for check in result.checks:
        largest[check.file] = max(
            check.difference, largest.get(check.file, 0))
    write_companions(
        Path(folder), options.form, meta, metadata.sentences(infer.model),
        options.parts, list(largest.items()))
    return result


def _make_part(infer: ViFiCLIPInferencer, part: str, module: nn.Module,
               meta: Dict[str, Any], options: Options, result: Exported,
               bar: tqdm) -> None:
    """Write and check a part, and its int8 copy."""
    name = file_name(part, options.form)
    path = osp.join(result.folder, name)
    sizes = check_sizes(module, options.frames, options.batches)

    def check(checked: str) -> List[Check]:
        bar.set_postfix_str(f'checking {checked}')
        run = open_file(osp.join(result.folder, checked))
        found = check_file(checked, run, infer.model, module, sizes)
        result.checks += found
        bar.update()
        return found

    bar.set_postfix_str(f'writing {name}')
    more = dict(part=part, precision='float32')
    if part == 'classifier':
        more.update(metadata.describe_classes(infer.model))
    write_part(module, path, options.form, dict(meta, **more), options.opset)
    bar.update()
    if not all(c.passed for c in check(name)):
        raise CheckError(
            f'{name} differs from the model by more than {TOLERANCE:g}; '
            'nothing was written', result.checks)
    if options.int8:
        small = file_name(part, options.form, int8=True)
        result.products[small] = quantize_file(
            path, osp.join(result.folder, small))
        check(small)


def _evaluate(infer: ViFiCLIPInferencer, module: nn.Module, videos: Videos,
              result: Exported) -> List[Accuracy]:
    names = [name for name in result.sizes if name.startswith('classifier')]
    files = {name: open_file(osp.join(result.folder, name)) for name in names}

    def to_input(images):
        if module.encoder.pixels == 'uint8':
            return images
        return infer.normalise(images).numpy()

    return evaluate_files(files, videos, to_input, infer)
