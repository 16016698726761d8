"""Exported files, ONNX and torch.export: written, run, quantised to int8."""
import io
import json
import os.path as osp
import tempfile
from contextlib import redirect_stdout
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
import torch
from torch import nn

from projects.vifi_clip.errors import UserError
from ..cli.options import quiet

METADATA_FILE = 'vifi_clip.json'  # in a .pt2 archive


def write_part(module: nn.Module, path: str, form: str,
               metadata: Dict[str, Any], opset: Optional[int] = None) -> None:
    """Trace a part of :mod:`.modules` and write it, its metadata inside."""
    # Two sizes that no other axis has: a tracer takes equal sizes for one.
    example = (module.example(3, module.traced_length()), )
    axes = (module.dynamic(), )
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


def quantize_file(source: str, target: str) -> Dict[str, int]:
    """Write an int8 copy of an ONNX file; return how many matrix products
    with constant weights are ``quantised`` and ``left``.

    Weights of matrix products become int8 with a scale for each output
    channel; activations become uint8 with a scale that is found when the
    file runs. All else stays float32, and so do the products behind the last
    norm, which make the embedding and compare it with the classes: they are
    small, and what they lose is not averaged out any more. onnxruntime runs
    it on CPU; with VNNI or AMX fast, elsewhere seldom faster than float32.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    if osp.exists(f'{source}.data'):
        raise UserError(f'{osp.basename(source)} is near 2 GB, beyond what '
                        'int8 quantisation takes; leave out --int8')
    with tempfile.TemporaryDirectory(dir=osp.dirname(target)) as folder:
        folded = osp.join(folder, 'folded.onnx')
        last = _last_products(_fold_constants(source, folded).graph.node)
        with quiet():  # it warns of shapes that it did not infer
            quantize_dynamic(
                folded, target, op_types_to_quantize=['MatMul', 'Gemm'],
                nodes_to_exclude=last, per_channel=True,
                weight_type=QuantType.QInt8)
    model = onnx.load(target)
    del model.metadata_props[:]
    model.metadata_props.extend(onnx.load(source).metadata_props)
    onnx.save(model, target)
    constants = {value.name for value in model.graph.initializer}
    kinds = [node.op_type for node in model.graph.node
             if node.op_type.startswith(('MatMul', 'Gemm'))
             and constants.intersection(node.input[1:2])]
    done = kinds.count('MatMulInteger')
    if not done:
        raise UserError(f'{osp.basename(source)} has no matrix product with '
                        'constant weights: nothing to quantise')
    return dict(quantised=done, left=len(kinds) - done)


def _fold_constants(source: str, target: str) -> Any:
    """Make plain weights, which the quantiser takes, of those that are
    transposed or cut as the file runs; return the ``onnx.ModelProto``."""
    import onnx
    from onnxruntime import GraphOptimizationLevel
    open_session(
        source, optimized_model_filepath=target,
        graph_optimization_level=GraphOptimizationLevel.ORT_ENABLE_BASIC)
    model = onnx.load(target)
    # Shapes that it noted of weights, which the quantiser will transpose.
    del model.graph.value_info[:]
    onnx.save(model, target)
    return model


def _last_products(nodes: Sequence[Any]) -> List[str]:
    """Return the names of the products behind the last norm, or of the last
    one where there is no norm, as the quantiser will see them."""
    norms = [i for i, node in enumerate(nodes)
             if node.op_type == 'LayerNormalization']
    # It makes a MatMul and an Add of each Gemm first.
    endings = dict(MatMul='', Gemm='_MatMul')
    products = [(i, node.name + endings[node.op_type])
                for i, node in enumerate(nodes) if node.op_type in endings]
    after = [name for i, name in products if norms and i > norms[-1]]
    return after or [name for _, name in products[-1:]]
