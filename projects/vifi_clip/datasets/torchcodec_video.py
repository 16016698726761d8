"""Frames by torchcodec, on the CPU or a GPU, in place of PyAV's.

Our own reader looks through the file first. It refuses what is damaged, and
keeps the videos that torchcodec 0.17 reads wrongly, without an error:
MPEG-TS, AVI with B frames, and what is to be shown mirrored (docs/readers.md).
"""
import multiprocessing
import os
import warnings
from typing import List, Sequence

import numpy as np
import torch
from torch.utils.data import get_worker_info

from ..errors import UserError, first_line, need
from .containers import Source
from .video_file import VideoFile

_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')


class TorchCodecVideo:
    """A video whose frames torchcodec decodes.

    Args:
        source (str | bytes): A file on the local disk, or its content.
        video (VideoFile): The same, opened: it has the numbers and times of
            the frames.
        num_threads (int): Threads that decode a frame.
        device (str): 'cpu' or 'cuda'.

    Attributes:
        num_damaged (int): 0 unless :class:`VideoFile` read the frames;
            torchcodec does not tell.

    Raises:
        UserError: A GPU is asked for in a forked data worker.
    """

    def __init__(self, source: Source, video: VideoFile, num_threads: int,
                 device: str) -> None:
        self._video, self._decoder, self._name = video, None, source
        self.num_damaged = 0
        self.get_avg_fps, self.frame_times = (video.get_avg_fps,
                                              video.frame_times)
        if not video.by_packets or video.container not in _CONTAINERS:
            return
        where = _place(device)
        try:
            self._decoder = _torchcodec().VideoDecoder(
                source, dimension_order='NHWC', seek_mode='exact',
                num_ffmpeg_threads=num_threads, device=where)
            if len(self._decoder) != len(video):
                raise RuntimeError(f'it counts {len(self._decoder)} frames')
            if self._decoder.metadata.rotation is not None:
                self._decoder = None  # maybe mirrored, too
        except RuntimeError as error:
            self._give_up(error)

    def __len__(self) -> int:
        return len(self._video)

    def frames(self, indices: Sequence[int]) -> List[np.ndarray]:
        """Return frames; see :meth:`VideoFile.frames`."""
        if self._decoder is not None:
            try:
                return list(self._decoder.get_frames_at(
                    np.ravel(indices).tolist()).data.cpu().numpy())
            except RuntimeError as error:
                self._give_up(error)
        frames = self._video.frames(indices)
        self.num_damaged = self._video.num_damaged
        return frames

    def _give_up(self, error: RuntimeError) -> None:
        name = self._name if isinstance(self._name, str) else 'a video'
        warnings.warn(f'{name}: torchcodec fails ({first_line(error)}); PyAV '
                      'reads it')
        self._decoder = None


def check_torchcodec(device: str) -> None:
    """Refuse torchcodec where it, or the device, cannot be used: UserError."""
    _torchcodec()
    if device != 'cpu' and not torch.cuda.is_available():
        raise UserError('READER=torchcodec-cuda needs an NVIDIA GPU, and torch'
                        ' finds none; use READER=torchcodec or pyav')


def _torchcodec():
    try:
        return need('torchcodec.decoders', 'torchcodec')
    except UserError:
        raise
    except Exception as error:  # RuntimeError or OSError, by its version
        raise UserError(
            f'torchcodec cannot be loaded ({first_line(error)}): it needs the '
            'shared libraries of FFmpeg (apt install ffmpeg) and the version '
            'of torch that it was built for') from error


def _place(device: str) -> str:
    """Name the GPU of this process, or of the data worker's parent."""
    if device == 'cpu':
        return device
    if get_worker_info() and multiprocessing.get_start_method() == 'fork':
        raise UserError(
            'READER=torchcodec-cuda cannot use a GPU in data workers that '
            'were forked; add --cfg-options '
            'env_cfg.mp_cfg.mp_start_method=spawn')
    rank = int(os.environ.get('LOCAL_RANK', 0))
    return f'cuda:{rank % torch.cuda.device_count()}'
