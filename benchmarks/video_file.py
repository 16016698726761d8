"""From a video file to the scores of 4x3 views."""
import os
import tempfile
from pathlib import Path
from typing import Callable

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor

from .cases import Case
from .inputs import ROOT, precision
from .plain import PlainViFiCLIP
from .subjects import build_recognizer, tester

VIDEO = 'VIFI_BENCHMARK_VIDEO'  # a file of the user's own


def example_video() -> str:
    """The file to read: the user's, or 10 s of moving noise at 340 x 256
    pixels and 30 frames a second, as Kinetics is usually kept."""
    if os.environ.get(VIDEO):
        return os.environ[VIDEO]
    path = Path(tempfile.gettempdir()) / f'vifi_benchmark_{os.getuid()}.mp4'
    if not path.exists():
        part = path.with_suffix(f'.{os.getpid()}.mp4')
        _write_video(part)
        part.replace(path)
    return str(path)


def _write_video(path: Path) -> None:
    import av
    rng = np.random.RandomState(0)
    picture = rng.randint(0, 256, (64, 85, 3)).astype(np.uint8)
    picture = picture.repeat(8, 0).repeat(8, 1)
    # twice the size of a frame, a window moves over it
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=30)
        stream.width, stream.height, stream.pix_fmt = 340, 256, 'yuv420p'
        for i in range(300):
            window = picture[i // 2:i // 2 + 256, i:i + 340]
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(window), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def views_pipeline(case: Case) -> Compose:
    """The pipeline of ``configs/vifi_k400.py`` for a test."""
    init_default_scope('mmaction')
    cfg = Config.fromfile(str(ROOT / 'configs/_base_/pipelines/frames16.py'))
    steps = cfg.views_pipeline
    for step in steps:
        if step.type == 'SparseSampleViews':
            step.num_frames = case.frames
    return Compose(steps)


def _reader(case: Case) -> Callable[[], dict]:
    pipeline, path = views_pipeline(case), example_video()
    return lambda: pseudo_collate([
        pipeline(dict(filename=path, label=0, start_index=0, modality='RGB'))
    ])


def _vifi_file(case: Case, device: str) -> Callable:
    model = build_recognizer(case, device).eval()
    return tester(model, _reader(case), case, device)


def _plain_file(case: Case, device: str) -> Callable:
    """The same reading, one batch of 12 views."""
    model = PlainViFiCLIP(
        build_recognizer(case, 'cpu'), case.frames).to(device).eval()
    read = _reader(case)

    def call() -> Tensor:
        frames = read()['inputs'][0].unflatten(0, (-1, case.frames))
        # [V*T, 3, H, W] -> [V, T, 3, H, W]
        with torch.no_grad(), precision(case, device):
            return model(frames.to(device)).mean(0, keepdim=True)

    return call


BUILDERS = dict(vifi=_vifi_file, plain=_plain_file)
