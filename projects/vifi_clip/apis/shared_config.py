"""The config of a model that somebody shared, which is read if it is data.

A config is Python, and MMEngine calls what a ``type`` names, which may be any
function of any module.
"""
import ast
import re
from typing import Any, Iterator, Set

from mmaction import registry
from mmengine.registry import Registry

from ..errors import UserError

# What predicting and testing read of a config.
KEPT = ('default_scope', 'custom_imports', 'val_pipeline', 'views_pipeline',
        'test_pipeline', 'test_dataloader', 'test_cfg', 'test_evaluator',
        'default_hooks', 'env_cfg', 'log_processor', 'log_level',
        'vis_backends', 'visualizer', 'knobs')
# Of MMEngine and MMAction2, what our models name there beside our own.
_TYPES = ('AccMetric ActionDataPreprocessor ActionVisualizer CenterCrop '
          'CrossEntropyLoss CutmixBlending DefaultSampler '
          'DistSamplerSeedHook FormatShape MixupBlending RandomBatchAugment '
          'IterTimerHook LocalVisBackend LogProcessor LoggerHook '
          'MultiModalDataPreprocessor PackActionInputs ParamSchedulerHook '
          'Resize RetrievalMetric RuntimeInfoHook SampleFrames '
          'SyncBuffersHook TenCrop TestLoop ThreeCrop').split()
_FIELDS = re.compile(r'\{\{ fileDirname \}\}|'
                     r'\{\{\$(?:TEST_LIST|VIDEO_DIR):([\w./-]*)\}\}')
_PACKAGE = __name__.partition('.apis')[0]
# Both import modules.
_ONLY = dict(custom_imports=dict(imports=[_PACKAGE]), default_scope='mmaction')


def check_shared(config: str) -> None:
    """Refuse a config that is more than ``save_model_folder`` writes of a
    model of ours (UserError): other statements than names with literals,
    classes of one's own, imports."""
    with open(config, encoding='utf-8', errors='replace') as file:
        text = file.read()
    try:
        problem = next(_problems(text), None)
    except (SyntaxError, TypeError, ValueError, MemoryError,
            RecursionError) as error:
        problem = f'{type(error).__name__}: {error}'
    if problem:
        raise UserError(
            f'{config} is from the Hub and may run any code ({problem}): '
            'read it, and give --trust (in Python trust=True) if you trust '
            'its makers')


def _problems(text: str) -> Iterator[str]:
    # MMEngine puts values there, before it is Python
    text = _FIELDS.sub(lambda field: field[1] or '', text)
    if '{{' in text:
        yield 'it has {{'
    known = _known_types()
    for node in ast.parse(text).body:
        target, *others = node.targets if isinstance(node, ast.Assign) else [0]
        name = '' if others else getattr(target, 'id', '')
        if name not in (*KEPT, 'model', 'load_from'):
            yield f'line {node.lineno}: {ast.unparse(node)[:60]}'
            continue
        value = _value(node.value)
        if value != _ONLY.get(name, value):
            yield f'line {node.lineno}: {name}={value}'
        for found in _found_types(value):
            if not isinstance(found, str) or found not in known:
                yield f'line {node.lineno}: type={found!r}'


def _known_types() -> Set[str]:
    return {*_TYPES, *(
        name for group in vars(registry).values()
        if isinstance(group, Registry)
        for name, made in group.module_dict.items()
        if made.__module__.startswith(f'{_PACKAGE}.')
        and name != 'PredictionsFile')}  # which writes anywhere


def _value(node: ast.expr) -> Any:
    """Evaluate literals, and ``dict(name=literal)``."""
    if isinstance(node, ast.Call) and not node.args and getattr(
            node.func, 'id', '') == 'dict':
        items = {word.arg: _value(word.value) for word in node.keywords}
        if None in items:
            raise ValueError(f'line {node.lineno}: **')
        return items
    if isinstance(node, (ast.List, ast.Tuple)):
        return list(map(_value, node.elts))
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {ast.literal_eval(key): _value(item)
                for key, item in zip(node.keys, node.values)}
    return ast.literal_eval(node)


def _found_types(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if 'type' in value:
            yield value['type']
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _found_types(item)
