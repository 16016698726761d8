"""The files that go with an export: what it is, and a program that runs it."""
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from .formats import file_name

_INPUTS = dict(
    video=('frames', 'video_embedding [batch, {embed_dim}]'),
    text=('tokens int64 [sentences, length]',
          'text_embedding [sentences, {embed_dim}], each of length 1'),
    classifier=('frames', 'probabilities [batch, classes]'))
_RUN_ONNX = """
## Run it
`python example.py [clip.npy | clip.mp4]` needs numpy and onnxruntime alone
(and OpenCV for video files).

```python
import json, numpy as np, onnxruntime
session = onnxruntime.InferenceSession('{file}')
meta = session.get_modelmeta().custom_metadata_map  # values are JSON
frames = np.zeros({shape}, np.{dtype})
output, = session.run(None, {{'frames': frames}})
```
"""
_RUN_PT2 = """
## Run it
```python
import torch
extra = {{'vifi_clip.json': ''}}
program = torch.export.load('{file}', extra_files=extra).module()
frames = torch.zeros({shape}, dtype=torch.{dtype})
output = program(frames)  # extra['vifi_clip.json']: the metadata, as JSON
```
"""
_TEXT = """
## Sentences
Tokenizer: {tokenizer}. Context: {context_length} tokens; shorter sentences
may be cut after their end or padded with 0. `classes.json` has the token ids
of the classes' sentences. For others:

```python
import open_clip
tokens = open_clip.SimpleTokenizer(context_length={context_length})(
    ['{context_words}a photo of a dog.']).numpy()
```
"""


def companions(form: str) -> List[str]:
    """Names of the files that are written beside the models."""
    names = ['README.md', 'classes.json']
    return names + ['example.py'] if form == 'onnx' else names


def write_companions(folder: Path, form: str, meta: Dict[str, Any],
                     classes: Dict[str, Any], parts: Sequence[str],
                     results: Sequence[Tuple[str, float]]) -> None:
    """Write them.

    Args:
        folder (Path): Where the models are.
        form (str): Of ``FORMATS``.
        meta (dict): Of :func:`.metadata.describe`.
        classes (dict): Of :func:`.metadata.sentences`.
        parts (Sequence[str]): Of ``PARTS``.
        results (Sequence[tuple[str, float]]): Each model file and its
            largest difference from the model.
    """
    (folder / 'classes.json').write_text(
        json.dumps(classes, ensure_ascii=False), encoding='utf-8')
    if form == 'onnx':
        source = Path(__file__).with_name('example.py')
        (folder / 'example.py').write_text(
            source.read_text(encoding='utf-8'), encoding='utf-8')
    (folder / 'README.md').write_text(
        _readme(folder, form, meta, parts, results), encoding='utf-8')


def _readme(folder: Path, form: str, meta: Dict[str, Any],
            parts: Sequence[str], results) -> str:
    lines = [f'# {meta["config"]}, exported', '', *_about(meta), '',
             '| file | MB | largest difference from the model |',
             '| --- | --- | --- |']
    for name, difference in results:
        size = sum(path.stat().st_size for path in folder.glob(f'{name}*'))
        lines.append(f'| {name} | {size / 1e6:.1f} | {difference:.0e} |')
    lines += ['', '| file | input | output |', '| --- | --- | --- |']
    for part in parts:
        given, made = _INPUTS[part]
        lines.append(f'| {file_name(part, form)} | {given} | '
                     f'{made.format(**meta)} |')
    lines += ['', *_pixels(meta)]
    text = '\n'.join(lines) + '\n'
    clips = [part for part in ('classifier', 'video') if part in parts]
    if clips:
        height, width = meta['image_size']
        inside = meta['normalised_inside']
        shape = (1, meta['num_frames']) + (
            (height, width, 3) if inside else (3, height, width))
        how = _RUN_ONNX if form == 'onnx' else _RUN_PT2
        text += how.format(
            file=file_name(clips[0], form), shape=shape,
            dtype='uint8' if inside else 'float32')
    return text + (_TEXT.format(**meta['text']) if 'text' in parts else '')


def _about(meta: Dict[str, Any]) -> List[str]:
    """Which weights these are."""
    versions = ', '.join(f'{k} {v}' for k, v in meta['versions'].items())
    return [f'Weights: {meta["checkpoint"] or "as the config names them"}, '
            f'SHA-256 of the values {meta["weights_sha256"][:16]}. '
            f'Made with {versions}.']


def _pixels(meta: Dict[str, Any]) -> List[str]:
    """How frames come about."""
    height, width = meta['image_size']
    short = meta['resize_short_side']
    cut = f'the centre of {height} x {width} pixels'
    if short:
        cut = f'the shorter side scaled to {short} pixels, then {cut}'
    lines = [f'frames: {meta["frames"]}; {cut}. The model was made for '
             f'{meta["num_frames"]} frames a clip, spread evenly over the '
             'video; any number runs, and any batch size.']
    if meta['normalised_inside']:
        lines.append(f'Pixel statistics (mean {meta["pixel_mean"]}, standard '
                     f'deviation {meta["pixel_std"]}) are applied inside.')
    else:
        lines.append(f'mean {meta["pixel_mean"]}, std {meta["pixel_std"]}.')
    if meta['fusion'] == 'embedding':
        lines.append('The video embedding has length 1.')
    else:
        lines.append(f"Fusion '{meta['fusion']}': the video embedding is the "
                     "mean of the frames' unit embeddings and shorter than "
                     '1; do not normalise it.')
    lines.append('probabilities = softmax(logit_scale * video_embedding @ '
                 f'class embeddings), logit_scale = {meta["logit_scale"]:.4f}'
                 '; several views of a video: the mean of their '
                 'probabilities.')
    return lines
