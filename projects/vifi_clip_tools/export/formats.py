"""Writing and running exported files: ONNX and torch.export."""
import contextlib
import io
import json
import logging
import os
import os.path as osp
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np
import torch
from torch import nn

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.errors import need

FORMATS = ('onnx', 'torch-export')
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2'}
_STEMS = dict(
    video='video_encoder', text='text_encoder', classifier='classifier')
_EXTRA_FILE = 'vifi_clip.json'  # in a .pt2 archive
# A protobuf holds 2 GB; a model that comes near keeps its weights beside.
_LARGE = 1.8e9
_LOGGERS = ('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir')


def file_name(part: str, form: str, int8: bool = False) -> str:
    """Name of a part's file, such as 'video_encoder.onnx'."""
    return _STEMS[part] + ('_int8' if int8 else '') + SUFFIXES[form]


def check_libraries(form: str) -> None:
    """See that what a format needs is installed.

    Raises:
        UserError: With the command that installs it.
    """
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        if form == 'onnx':
            need(name, 'export')


def write_part(module: nn.Module,
               path: str,
               form: str,
               metadata: Dict[str, Any],
               opset: Optional[int] = None) -> None:
    """Trace a part and write it.

    Args:
        module (nn.Module): Of :mod:`.modules`, on CPU.
        path (str): File to write; an ONNX model near 2 GB gets its weights
            in ``<path>.data``.
        form (str): Of ``FORMATS``.
        metadata (dict): Goes into the file.
        opset (int, optional): Of ONNX; None leaves it to torch.

    Raises:
        UserError: The part cannot be traced; the message has the cause.
    """
    example = (_example(module), )
    with torch.no_grad(), _quiet():
        try:
            if form == 'onnx':
                _write_onnx(module, example, path, metadata, opset)
            else:
                _write_pt2(module, example, path, metadata)
        except OSError:
            raise  # a full disk is not the model's fault
        except Exception as error:  # the tracer's own, of many kinds
            raise UserError(
                f'{osp.basename(path)}: this model cannot be exported as '
                f'{form}: {_cause(error)}') from error


def _example(module: nn.Module) -> torch.Tensor:
    """An input of two sizes that no other axis has: a tracer takes equal
    sizes for one, and 1 for a constant."""
    length = 5 if 1 in module.dynamic() else None
    if module.input_name == 'tokens':
        length = module.context_length if length is None else max(
            length, module.shortest() + 1)
    return module.example(3, length)


def _write_onnx(module: nn.Module, example: tuple, path: str,
                metadata: Dict[str, Any], opset: Optional[int]) -> None:
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        dynamic_shapes=(module.dynamic(), ),
        input_names=[module.input_name],
        output_names=[module.output_name],
        opset_version=opset,
        verbose=False)
    for name, value in metadata.items():
        program.model.metadata_props[name] = json.dumps(
            value, ensure_ascii=False)
    size = sum(value.numel() * value.element_size()
               for value in module.state_dict().values())
    program.save(path, external_data=size > _LARGE)


def _write_pt2(module: nn.Module, example: tuple, path: str,
               metadata: Dict[str, Any]) -> None:
    program = torch.export.export(
        module, example, dynamic_shapes=(module.dynamic(), ))
    text = json.dumps(metadata, ensure_ascii=False)
    torch.export.save(program, path, extra_files={_EXTRA_FILE: text})


def _cause(error: BaseException) -> str:
    """The line of a tracer's error that says what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = ' '.join(lines[:2]) or 'no message'
    return f'{type(error).__name__}: {said}'


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes to their own authors."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def open_file(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function that runs an exported file on CPU, array to array.

    Args:
        path (str): ``.onnx`` or ``.pt2``.
    """
    if path.endswith('.pt2'):
        module = torch.export.load(path).module()

        def run_program(x: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return module(torch.from_numpy(x)).numpy()

        return run_program
    session = open_session(path)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def open_session(path: str):
    """An onnxruntime session on CPU that takes no more threads than torch."""
    runtime = need('onnxruntime', 'export')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return runtime.InferenceSession(
            path, options, providers=['CPUExecutionProvider'])
    except Exception as error:  # onnxruntime's own have no common class
        reason = ' '.join(str(error).split())
        raise UserError('onnxruntime does not take the file (another '
                        f'--opset?): {reason[:300]}') from error


def read_metadata(path: str) -> Dict[str, Any]:
    """What :func:`write_part` put into a file."""
    if path.endswith('.pt2'):
        extra = {_EXTRA_FILE: ''}
        torch.export.load(path, extra_files=extra)
        return json.loads(extra[_EXTRA_FILE])
    found = open_session(path).get_modelmeta().custom_metadata_map
    return {name: json.loads(value) for name, value in found.items()}


def written_files(path: str) -> List[str]:
    """A file and the one that holds its weights, if there is one."""
    return [p for p in (path, f'{path}.data') if os.path.exists(p)]
