"""From a video and models to pictures of where the models look."""
import io
import os.path as osp
from typing import Any, Callable, List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from projects.vifi_clip.apis.batches import ranked
from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.inputs import one_video, read_labels
from projects.vifi_clip.apis.sampling import Sampled, VideoSampler
from projects.vifi_clip.files import write_bytes
from ..cli.outputs import check_target
from .capture import token_layout
from .grid import draw_grid
from .maps import attention_maps
from .options import AttentionOptions
from .overlay import Row, Scores
from .video import draw_video


def write_figures(options: AttentionOptions) -> None:
    """Write pictures of where models look in a clip, and print what they take
    it for."""
    for option, suffix in ('out', '.png'), ('video', '.mp4'), ('npz', '.npz'):
        if path := getattr(options, option):
            check_target(f'--{option}', path, (suffix, ), options.overwrite)
            if osp.exists(path) and osp.exists(options.clip) and osp.samefile(
                    path, options.clip):
                raise ValueError(f'--{option} {path} is the video itself; '
                                 'choose another name')
    labels = None if options.labels is None else read_labels(options.labels)
    clip = _local(options)
    inferencers = [model.load(labels=labels) for model in options.models]
    for inferencer in inferencers:
        token_layout(inferencer.model.backbone)
    samples = _samples(clip, inferencers, inferencers[0].num_frames)
    times = samples[0].times
    print(f'{clip}: {len(times)} frames, {times[0]:.2f} s to '
          f'{times[-1]:.2f} s')
    scores = list(map(_recognise, options.names, inferencers, samples))
    if options.out or options.npz:
        rows = _rows(options, inferencers, scores,
                     [sample.images for sample in samples])
        _write(options.out, lambda: draw_grid(
            osp.basename(clip), rows, scores, times, options.columns))
        _write(options.npz, lambda: _pack(rows, scores, samples[0]))
    if options.video:
        samples = _samples(clip, inferencers, options.video_frames)
        # A shorter clip has frames that are sampled twice.
        _, first = np.unique(samples[0].indices, return_index=True)
        rows = _rows(options, inferencers, scores,
                     [sample.images[first] for sample in samples])
        _write(options.video, lambda: draw_video(
            rows, scores, samples[0].times[first]))


def _local(options: AttentionOptions) -> str:
    """Return the video's file, which is read once before weights are loaded
    or downloaded."""
    video, model = one_video(options.clip), options.models[0]
    cfg = read_config(model.config, model.trust)
    cfg.merge_from_dict(model.cfg_options or {})
    VideoSampler(cfg).sample(video, 1)
    return video.path


def _recognise(name: str, inferencer: Any, sample: Sampled) -> Scores:
    """Find what a model takes the video for, and print the best labels."""
    best = ranked(inferencer.video_scores(sample.images),
                  inferencer.class_names, None, None)
    print(f'  {name}')
    for label, value in list(zip(best['labels'], best['scores']))[:3]:
        print(f'    {100 * value:5.1f}%  {label}')
    return Scores(name, best['labels'], best['scores'])


def _rows(options: AttentionOptions, inferencers: Sequence,
          scores: Sequence[Scores], images: Sequence[np.ndarray]
          ) -> List[Row]:
    """Make maps by each method, of each model and the frames, uint8 [T, H, W,
    3], that it sees."""
    jobs = [(method, *job) for method in dict.fromkeys(options.methods)
            for job in zip(inferencers, scores, images)]
    rows = []
    for method, inferencer, score, frames in tqdm(
            jobs, unit='map', leave=False):
        text = (options.text or score.labels[0] if method == 'gradient'
                else None)
        maps = attention_maps(inferencer.model, frames, method, text)
        rows.append(Row(score.model, method, text, frames, maps,
                        options.per_frame))
    return rows


def _samples(clip: str, inferencers: Sequence, count: int) -> List[Sampled]:
    """Read the same frames as each model sees them."""
    samples = [i.sample(clip, count) for i in inferencers]
    for sample in samples[1:]:
        if sample.indices.tolist() != samples[0].indices.tolist():
            raise ValueError('the configs sample other frames of a video '
                             '(their test pipelines differ), which cannot be '
                             'shown side by side')
    return samples


def _pack(rows: Sequence[Row], scores: Sequence[Scores],
          sample: Sampled) -> bytes:
    """Pack what the grid shows as an .npz file."""
    arrays = dict(times=sample.times, indices=sample.indices)
    for row in rows:
        arrays[f'maps/{row.model}/{row.method}'] = row.maps  # [T, h, w]
        arrays[f'images/{row.model}'] = row.images  # [T, H, W, 3]
        if row.text:
            arrays[f'text/{row.model}'] = np.array(row.text)
    for score in scores:
        arrays[f'labels/{score.model}'] = np.array(score.labels)
        arrays[f'scores/{score.model}'] = np.array(score.values)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _write(path: Optional[str], draw: Callable[[], bytes]) -> None:
    if path:
        content = draw()
        write_bytes(path, content)
        print(f'{path}: {len(content) / 1e6:.2f} MB')
