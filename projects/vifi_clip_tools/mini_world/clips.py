"""One clip or still frame, from its seed to its file."""
import hashlib
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .captions import describe, describe_clip
from .encoding import write_still, write_video
from .motions import Poses, moving_poses, still_pose
from .scene import Scene, draw_scene, render
from .splits import clip_path, still_path
from .world import (COLOURS, SHAPES, VideoClass, target_classes, train_classes,
                    zero_shot_classes)

_FRAME_RATES = (12, 15, 24, 25, 30)


class Job(NamedTuple):
    """One file to make.

    Attributes:
        path (str): Relative to the data set's folder. With the seed it
            determines every pixel.
        seed (int): Seed of the data set.
        size (int): Side of the frame in pixels.
        cls (VideoClass, optional): The clip's class; None for a still frame.
    """

    path: str
    seed: int
    size: int
    cls: Optional[VideoClass] = None


def list_jobs(seed: int, size: int, train_per_class: int,
              test_per_class: int, target_train_per_class: int,
              num_stills: int) -> List[Job]:
    """All files of a data set, stills last and in order."""
    known = train_classes()
    target = target_classes() if target_train_per_class else []
    splits = [(cls, 'train', train_per_class) for cls in known]
    splits += [(cls, 'train', target_train_per_class) for cls in target]
    splits += [(cls, 'val', test_per_class)
               for cls in known + target + zero_shot_classes()]
    jobs = [
        Job(clip_path(cls, split, i), seed, size, cls)
        for cls, split, count in splits for i in range(count)
    ]
    return jobs + [Job(still_path(i), seed, size) for i in range(num_stills)]


def _rng(job: Job, purpose: str = '') -> np.random.Generator:
    # The path holds split, class and index. A generator of its own for each
    # file makes its bytes independent of the workers and of the other files.
    key = f'{job.seed} {job.path} {purpose}'.strip()
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, 'big'))


def stage_clip(job: Job) -> Tuple[Scene, Poses, np.random.Generator]:
    """Draw all that a clip shows, but no frames yet.

    Args:
        job (Job): A job with a class.

    Returns:
        Tuple[Scene, Poses, np.random.Generator]: Scene, T poses from 24 to
        48, and the source of what is still to be drawn.
    """
    rng = _rng(job)
    scene = draw_scene(job.cls.colour, job.cls.shape, job.size, rng)
    poses = moving_poses(job.cls.motion, int(rng.integers(24, 49)), rng)
    return scene, poses, rng


def caption_clip(job: Job) -> str:
    """Say in words what a clip shows.

    Args:
        job (Job): A job with a class.

    Returns:
        str: The caption, see :func:`captions.describe_clip`.
    """
    scene, poses, _ = stage_clip(job)
    # A generator of its own, so that captions leave the clips as they are.
    return describe_clip(*job.cls, poses, scene.background_kind,
                         _rng(job, 'caption'))


def render_clip(job: Job) -> Tuple[np.ndarray, int]:
    """Draw a video clip.

    Args:
        job (Job): A job with a class.

    Returns:
        Tuple[np.ndarray, int]: Frames [T, S, S, 3], RGB, uint8, T from 24 to
        48, and frames per second.
    """
    scene, poses, rng = stage_clip(job)
    return render(scene, poses, rng), int(rng.choice(_FRAME_RATES))


def render_still(job: Job) -> Tuple[np.ndarray, str]:
    """Draw a still frame.

    Args:
        job (Job): A job without a class.

    Returns:
        Tuple[np.ndarray, str]: Frames [1, S, S, 3], RGB, uint8, and caption.
    """
    rng = _rng(job)
    colour, shape = str(rng.choice(COLOURS)), str(rng.choice(SHAPES))
    scene = draw_scene(colour, shape, job.size, rng)
    pose = still_pose(rng)
    caption = describe(colour, shape, pose, scene.background_kind, rng)
    return render(scene, pose, rng), caption


def make_files(jobs: Sequence[Job], root: str) -> List[Optional[str]]:
    """Draw and encode a batch of files.

    Args:
        jobs (Sequence[Job]): The files; their folders must exist.
        root (str): The data set's folder.

    Returns:
        List[Optional[str]]: Each still frame's caption, None for clips.
    """
    captions = []
    for job in jobs:
        path = str(Path(root) / job.path)
        if job.cls is None:
            frames, caption = render_still(job)
            write_still(path, frames[0])
        else:
            (frames, fps), caption = render_clip(job), None
            write_video(path, frames, fps)
        captions.append(caption)
    return captions
