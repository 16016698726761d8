"""One clip or still frame, from its seed to its file."""
import hashlib
import signal
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import av
import cv2
import numpy as np

from .captions import describe, describe_clip
from .motions import Poses, moving_poses, still_pose
from .scene import Scene, draw_scene, render
from .world import (CLASSES, COLOURS, SHAPES, VideoClass, WorldParams,
                    clip_path, still_path)

_FRAME_RATES = (12, 15, 24, 25, 30)
# x264's macroblock tree is not repeatable, not even in one thread: with it
# about one clip in three differed between runs (PyAV 18), without it none.
_X264 = {'crf': '18', 'preset': 'veryfast', 'x264-params': 'mbtree=0'}


class Job(NamedTuple):
    """One file to make."""

    path: str  # in the data set's folder; with the seed, it fixes all pixels
    seed: int  # of the data set
    size: int  # side of the frame in pixels
    cls: Optional[VideoClass] = None  # the clip's; None for a still frame


def list_jobs(params: WorldParams) -> List[Job]:
    """All files of a data set, stills last and in order."""
    trained = CLASSES['train']
    target = CLASSES['target'] if params.target_train_per_class else []
    jobs = [Job(clip_path(cls, split, i), params.seed, params.size, cls)
            for classes, split, count in (
                (trained, 'train', params.train_per_class),
                (target, 'train', params.target_train_per_class),
                (trained + target + CLASSES['zero_shot'], 'val',
                 params.test_per_class))
            for cls in classes for i in range(count)]
    return jobs + [Job(still_path(i), params.seed, params.size)
                   for i in range(params.num_stills)]


def _rng(job: Job, purpose: str = '') -> np.random.Generator:
    # The path holds split, class and index. A generator of its own for each
    # file makes its bytes independent of the workers and of the other files.
    key = f'{job.seed} {job.path} {purpose}'.strip()
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, 'big'))


def stage_clip(job: Job) -> Tuple[Scene, Poses, np.random.Generator]:
    """Draw all that a clip shows, but no frames yet: the scene, from 24 to 48
    poses, and the source of what is still to be drawn."""
    rng = _rng(job)
    scene = draw_scene(job.cls.colour, job.cls.shape, job.size, rng)
    poses = moving_poses(job.cls.motion, int(rng.integers(24, 49)), rng)
    return scene, poses, rng


def caption_clip(job: Job) -> str:
    """Say in words what a clip shows."""
    scene, poses, _ = stage_clip(job)
    # A generator of its own, so that captions leave the clips as they are.
    return describe_clip(*job.cls, poses, scene.background_kind,
                         _rng(job, 'caption'))


def render_clip(job: Job) -> Tuple[np.ndarray, int]:
    """Draw a clip: frames [T, S, S, 3], RGB, uint8, T from 24 to 48, and
    frames per second."""
    scene, poses, rng = stage_clip(job)
    return render(scene, poses, rng), int(rng.choice(_FRAME_RATES))


def render_still(job: Job) -> Tuple[np.ndarray, str]:
    """Draw a still frame [S, S, 3], RGB, uint8, and caption it."""
    rng = _rng(job)
    colour, shape = str(rng.choice(COLOURS)), str(rng.choice(SHAPES))
    scene = draw_scene(colour, shape, job.size, rng)
    pose = still_pose(rng)
    caption = describe(colour, shape, pose, scene.background_kind, rng)
    return render(scene, pose, rng)[0], caption


def write_video(path: str, frames: np.ndarray, fps: int) -> None:
    """Encode frames [T, H, W, 3], RGB, uint8, H and W even, as H.264 in an
    mp4 file; the same frames give the same bytes."""
    with av.open(path, 'w', options=dict(fflags='+bitexact')) as container:
        stream = container.add_stream('libx264', rate=fps, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        stream.thread_count = 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def start_worker() -> None:
    """Set up a process that makes files."""
    cv2.setNumThreads(0)  # in a fork, 1 would wait for the parent's threads
    # Ctrl-C is for the parent, which cleans up; workers end with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def make_files(jobs: Sequence[Job], root: str) -> List[str]:
    """Draw and encode a batch of files, whose folders must exist, in the data
    set's folder ``root``; return the captions of its still frames."""
    captions = []
    for job in jobs:
        path = str(Path(root) / job.path)
        if job.cls:
            write_video(path, *render_clip(job))
            continue
        frame, caption = render_still(job)
        picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 95]):
            raise OSError(f'cannot write {path}')
        captions.append(caption)
    return captions
