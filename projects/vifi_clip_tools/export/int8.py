"""Dynamic quantisation of exported ONNX files to 8-bit integers."""
import logging
import os.path as osp
import tempfile
from typing import Any, Dict, List

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.errors import need


def quantize_file(source: str, target: str) -> Dict[str, int]:
    """Write an int8 copy of an ONNX file.

    Weights of matrix products become int8 with a scale for each output
    channel; activations become uint8 with a scale that is found when the
    file runs. All else (norms, softmax, the patch convolution, token
    embeddings) stays float32, and so do the products behind the last norm,
    which make the embedding and compare it with the classes: they are small,
    and what they lose is not averaged out any more. onnxruntime runs it on
    CPU; with VNNI or AMX fast, elsewhere seldom faster than float32.

    Args:
        source (str): A float32 file of ours.
        target (str): File to write.

    Returns:
        dict: ``quantised`` and ``left``, numbers of matrix products with
        constant weights.

    Raises:
        UserError: The model is too large for onnxruntime's quantiser, or
            nothing in it can be quantised.
    """
    need('onnxruntime', 'export')
    if osp.exists(f'{source}.data'):
        raise UserError(f'{osp.basename(source)} is near 2 GB, beyond what '
                        'int8 quantisation takes; leave out --int8')
    with tempfile.TemporaryDirectory(dir=osp.dirname(target)) as folder:
        folded = osp.join(folder, 'folded.onnx')
        _fold_constants(source, folded)
        _quantize(folded, target)
    counts = _finish(source, target)
    if not counts['quantised']:
        raise UserError(f'{osp.basename(source)} has no matrix product with '
                        'constant weights: nothing to quantise')
    return counts


def _quantize(source: str, target: str) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it warns there of shapes not inferred
    try:
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=['MatMul', 'Gemm'],
            nodes_to_exclude=_last_products(source),
            per_channel=True,
            weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)


def _fold_constants(source: str, target: str) -> None:
    """Weights that are transposed or cut as the file runs become plain
    weights, which the quantiser takes."""
    runtime = need('onnxruntime', 'export')
    options = runtime.SessionOptions()
    options.graph_optimization_level = (
        runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
    options.optimized_model_filepath = target
    options.log_severity_level = 3
    runtime.InferenceSession(
        source, options, providers=['CPUExecutionProvider'])
    onnx = need('onnx', 'export')
    model = onnx.load(target)
    # Shapes that it noted of weights, which the quantiser will transpose.
    del model.graph.value_info[:]
    onnx.save(model, target)


def _last_products(path: str) -> List[str]:
    """Names of the products behind the last norm, or of the last one where
    there is no norm, as the quantiser will see them."""
    onnx = need('onnx', 'export')
    nodes = onnx.load(path).graph.node
    norms = [i for i, node in enumerate(nodes)
             if node.op_type == 'LayerNormalization']
    # It makes a MatMul and an Add of each Gemm first.
    endings = dict(MatMul='', Gemm='_MatMul')
    products = [(i, node.name + endings[node.op_type])
                for i, node in enumerate(nodes) if node.op_type in endings]
    after = [name for i, name in products if norms and i > norms[-1]]
    return after or [name for _, name in products[-1:]]


def _finish(source: str, target: str) -> Dict[str, int]:
    """Carry the metadata over, and count."""
    onnx = need('onnx', 'export')
    model: Any = onnx.load(target)
    given = onnx.load(source, load_external_data=False)
    del model.metadata_props[:]
    model.metadata_props.extend(given.metadata_props)
    onnx.save(model, target)
    constants = {value.name for value in model.graph.initializer}
    kinds = [node.op_type for node in model.graph.node
             if node.op_type.startswith(('MatMul', 'Gemm'))
             and constants.intersection(node.input[1:2])]
    done = sum(kind == 'MatMulInteger' for kind in kinds)
    return dict(quantised=done, left=len(kinds) - done)
