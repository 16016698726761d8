"""Writing and running exported files: ONNX and torch.export."""
import io
import json
import os.path as osp
from contextlib import redirect_stdout
from typing import Any, Callable, Dict, Optional

import numpy as np
import torch
from torch import nn

from projects.vifi_clip.errors import UserError
from ..cli.options import quiet

METADATA_FILE = 'vifi_clip.json'  # in a .pt2 archive


def write_part(module: nn.Module, path: str, form: str,
               metadata: Dict[str, Any], opset: Optional[int] = None) -> None:
    """Trace a part of :mod:`.modules` and write it, its metadata inside."""
    # An input of two sizes that no other axis has: a tracer takes equal sizes
    # for one, and 1 for a constant.
    length = 5 if 1 in module.dynamic() else None
    if module.input_name == 'tokens':
        length = module.context_length if length is None else max(
            length, module.shortest + 1)
    example, axes = (module.example(3, length), ), (module.dynamic(), )
    # The exporters print notes to their own authors.
    with torch.no_grad(), quiet(), redirect_stdout(io.StringIO()):
        try:
            if form == 'onnx':
                program = torch.onnx.export(
                    module, example, dynamo=True, dynamic_shapes=axes,
                    input_names=[module.input_name],
                    output_names=[module.output_name], opset_version=opset,
                    verbose=False)
                for name, value in metadata.items():
                    program.model.metadata_props[name] = json.dumps(
                        value, ensure_ascii=False)
                size = sum(value.numel() * value.element_size()
                           for value in module.state_dict().values())
                # A protobuf holds 2 GB; near that, weights are in PATH.data.
                program.save(path, external_data=size > 1.8e9)
            else:
                program = torch.export.export(
                    module, example, dynamic_shapes=axes)
                torch.export.save(program, path, extra_files={
                    METADATA_FILE: json.dumps(metadata, ensure_ascii=False)})
        except OSError:
            raise  # a full disk is not the model's fault
        except Exception as error:  # the tracer's own, of many kinds
            while error.__cause__ is not None:
                error = error.__cause__
            lines = filter(None, map(str.strip, str(error).splitlines()))
            cause = ' '.join(list(lines)[:2]) or 'no message'
            raise UserError(
                f'{osp.basename(path)}: this model cannot be exported as '
                f'{form}: {type(error).__name__}: {cause}') from error


def open_file(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs an exported file on CPU."""
    if path.endswith('.pt2'):
        module = torch.export.load(path).module().requires_grad_(False)
        return lambda x: module(torch.from_numpy(x)).numpy()
    session = open_session(path)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def open_session(path: str, **settings):
    """Open an onnxruntime session on CPU that takes no more threads than
    torch; ``settings`` are those of its ``SessionOptions``."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    for name, value in settings.items():
        setattr(options, name, value)
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider'])
    except Exception as error:  # onnxruntime's own have no common class
        reason = ' '.join(str(error).split())
        raise UserError('onnxruntime does not take the file (another '
                        f'--opset?): {reason[:300]}') from error
