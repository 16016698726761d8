"""From a video and models to pictures of where the models look."""
import io
import os.path as osp
from typing import List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from projects.vifi_clip.apis.inputs import one_video
from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.apis.sampling import Sampled, VideoSampler
from projects.vifi_clip.files import write_bytes
from ..cli.h264 import write_h264
from ..cli.options import ModelOptions
from ..cli.outputs import check_target
from .capture import token_layout
from .grid import draw_grid
from .maps import attention_maps
from .overlay import Row, Scores
from .video import draw_video, video_rate


def write_figures(clip: str, models: Sequence[ModelOptions],
                  names: Sequence[str], labels: Optional[str],
                  methods: Sequence[str], text: Optional[str],
                  per_frame: bool, grid: Optional[str], columns: int,
                  video: Optional[str], video_frames: int,
                  npz: Optional[str], overwrite: bool) -> None:
    """Write pictures of where models look in a clip, and print what they take
    it for; the arguments are the options of ``vifi-clip attention``.

    Raises:
        FileNotFoundError: A config or checkpoint is absent.
        UserError: The video cannot be read, or a model has no attention to
            show.
        ValueError: Bad labels, an unwritable output, or models that sample
            other frames.
    """
    for option, path, suffix in (('--out', grid, '.png'),
                                 ('--video', video, '.mp4'),
                                 ('--npz', npz, '.npz')):
        if path:
            check_target(option, path, (suffix, ), overwrite)
            if osp.exists(path) and osp.exists(clip) and osp.samefile(
                    path, clip):
                raise ValueError(f'{option} {path} is the video itself; '
                                 'choose another name')
    class_names = None if labels is None else read_labels(labels)
    clip = _local(clip, models[0])
    inferencers = [model.load(labels=class_names) for model in models]
    for inferencer in inferencers:
        token_layout(inferencer.model.backbone)
    samples = _samples(clip, inferencers, inferencers[0].num_frames)
    times = samples[0].times
    scores = [Scores.of(name, i.class_names, i.video_scores(sample.images))
              for name, i, sample in zip(names, inferencers, samples)]
    print(f'{clip}: {len(times)} frames, {times[0]:.2f} s to '
          f'{times[-1]:.2f} s')
    for score in scores:
        print(f'  {score.model}')
        for label, value in list(zip(score.labels, score.values))[:3]:
            print(f'    {100 * value:5.1f}%  {label}')

    def make_rows(images: Sequence[np.ndarray]) -> List[Row]:
        """Make a row for each method and each model, of the frames that it
        sees."""
        jobs = [(method, *job) for method in methods
                for job in zip(inferencers, scores, images)]
        rows = []
        for method, inferencer, score, frames in tqdm(
                jobs, unit='map', leave=False):
            target = None
            if method == 'gradient':
                target = text or score.labels[0]
            maps = attention_maps(inferencer.model, frames, method, target)
            rows.append(Row(score.model, method, target, frames, maps,
                            per_frame))
        return rows

    if grid or npz:
        rows = make_rows([sample.images for sample in samples])
        if grid:
            _write(grid, draw_grid(osp.basename(clip), rows, scores, times,
                                   columns))
        if npz:
            _write(npz, _pack(rows, scores, samples[0]))
    if video:
        samples = _samples(clip, inferencers, video_frames)
        # A shorter clip has frames that are sampled twice.
        _, first = np.unique(samples[0].indices, return_index=True)
        times = samples[0].times[first]
        rows = make_rows([sample.images[first] for sample in samples])
        content = io.BytesIO()
        write_h264(content, draw_video(rows, scores, times),
                   video_rate(times))
        _write(video, content.getvalue())


def _local(clip: str, model: ModelOptions) -> str:
    """Return the video's file, which is read once before weights are loaded
    or downloaded."""
    video = one_video(clip)
    cfg = read_config(model.config, model.trust)
    cfg.merge_from_dict(model.cfg_options or {})
    VideoSampler(cfg).sample(video, 1)
    return video.path


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


def _write(path: str, content: bytes) -> None:
    write_bytes(path, content)
    print(f'{path}: {len(content) / 1e6:.2f} MB')
