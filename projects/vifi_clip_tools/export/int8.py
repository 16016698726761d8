"""Dynamic quantisation of exported ONNX files to 8-bit integers."""
import os.path as osp
import tempfile
from typing import Dict, List

import onnx
from onnxruntime import GraphOptimizationLevel
from onnxruntime.quantization import QuantType, quantize_dynamic

from projects.vifi_clip.errors import UserError
from ..cli.options import quiet
from .formats import open_session


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
    if osp.exists(f'{source}.data'):
        raise UserError(f'{osp.basename(source)} is near 2 GB, beyond what '
                        'int8 quantisation takes; leave out --int8')
    with tempfile.TemporaryDirectory(dir=osp.dirname(target)) as folder:
        folded = osp.join(folder, 'folded.onnx')
        _fold_constants(source, folded)
        with quiet():  # it warns of shapes that it did not infer
            quantize_dynamic(
                folded, target, op_types_to_quantize=['MatMul', 'Gemm'],
                nodes_to_exclude=_last_products(folded), per_channel=True,
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


def _fold_constants(source: str, target: str) -> None:
    """Make plain weights, which the quantiser takes, of those that are
    transposed or cut as the file runs."""
    open_session(
        source, optimized_model_filepath=target,
        graph_optimization_level=GraphOptimizationLevel.ORT_ENABLE_BASIC)
    model = onnx.load(target)
    # Shapes that it noted of weights, which the quantiser will transpose.
    del model.graph.value_info[:]
    onnx.save(model, target)


def _last_products(path: str) -> List[str]:
    """Return the names of the products behind the last norm, or of the last
    one where there is no norm, as the quantiser will see them."""
    nodes = onnx.load(path).graph.node
    norms = [i for i, node in enumerate(nodes)
             if node.op_type == 'LayerNormalization']
    # It makes a MatMul and an Add of each Gemm first.
    endings = dict(MatMul='', Gemm='_MatMul')
    products = [(i, node.name + endings[node.op_type])
                for i, node in enumerate(nodes) if node.op_type in endings]
    after = [name for i, name in products if norms and i > norms[-1]]
    return after or [name for _, name in products[-1:]]
