"""Transforms that MMAction2 lacks.

Greyscale is not among them: ``dict(type='TorchVisionWrapper',
op='RandomGrayscale', p=0.2)`` draws once for the whole clip.
"""
import hashlib
import os.path as osp

import numpy as np
from mmaction.datasets.transforms import UniformSample
from mmaction.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SparseSampleViews(UniformSample):
    """Sample several sparse views of a whole video, for test.

    A view is ``num_frames`` frames, one from each of as many equal segments
    of the video. A video with fewer frames repeats some. Views follow each
    other in ``frame_inds``: all frames of the first, then of the second, ...

    Required keys are ``total_frames``, ``start_index`` and, for ``'random'``,
    ``filename``; added keys are ``frame_inds`` ([V*T], int32), ``clip_len``
    (T), ``frame_interval`` (None) and ``num_clips`` (V).

    Args:
        num_frames (int): T, frames of a view.
        num_views (int): V, number of views. Defaults to 1.
        mode (str): ``'uniform'`` interleaves the views evenly, as
            ``UniformSample(test_mode=True)``. ``'random'``, the way of the
            paper's release, draws a random frame in each segment anew for
            each view. Defaults to ``'uniform'``.
        seed (int): For ``'random'``: draws depend on this and on the base
            name of the file alone, so they are the same in every run, worker
            and folder. Defaults to 0.

    Raises:
        ValueError: If an argument is out of range, or a video has no frames.
    """

    def __init__(self,
                 num_frames: int,
                 num_views: int = 1,
                 mode: str = 'uniform',
                 seed: int = 0) -> None:
        for name, value in dict(
                num_frames=num_frames, num_views=num_views).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be an integer from 1, got '
                                 f'{value!r}')
        if mode not in ('uniform', 'random'):
            raise ValueError("mode must be 'uniform' or 'random', got "
                             f'{mode!r}')
        if not isinstance(seed, int):
            raise ValueError(f'seed must be an integer, got {seed!r}')
        super().__init__(num_frames, num_views, test_mode=True)
        self.mode = mode
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Choose the frames of one video.

        Args:
            results (dict): Sample information.

        Returns:
            dict: The same, with the keys above added.
        """
        total_frames = results['total_frames']
        if total_frames < 1:
            raise ValueError(
                f'{results.get("filename", "video")}: cannot sample from '
                f'total_frames={total_frames}; the video has no frames')
        results = super().transform(results)
        if self.mode == 'random':
            inds = self._draw(total_frames, osp.basename(results['filename']))
            results['frame_inds'] = inds + np.int32(results['start_index'])
        return results

    def _draw(self, total_frames: int, name: str) -> np.ndarray:
        # The name is hashed because hash() differs from run to run, and
        # RandomState's streams never change between numpy versions.
        digest = hashlib.sha256(f'{self.seed}/{name}'.encode()).digest()
        rng = np.random.RandomState(np.frombuffer(digest, dtype='<u4'))
        share = rng.random_sample((self.num_clips, self.clip_len))
        # With fewer frames than segments, an empty one takes its left border.
        borders = np.arange(self.clip_len + 1) * total_frames // self.clip_len
        widths = np.maximum(np.diff(borders), 1)
        inds = borders[:-1] + (share * widths).astype(np.int64)  # [V, T]
        return inds.reshape(-1).astype(np.int32)  # [V*T], view by view

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(num_frames={self.clip_len}, '
                f'num_views={self.num_clips}, mode={self.mode!r}, '
                f'seed={self.seed})')
