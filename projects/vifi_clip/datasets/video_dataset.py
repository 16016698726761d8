"""MMAction2's VideoDataset, made to survive bad lists and bad videos."""
import os.path as osp
from contextlib import nullcontext
from typing import Any, ContextManager, List, Optional, Sequence, Union

import torch
from mmaction.datasets import VideoDataset
from mmaction.registry import DATASETS

from ..errors import UnreadableVideo, UserError
from .bad_videos import BadVideos
from .class_list import read_class_list
from .list_protocol import check_protocol
from .sample_rng import sample_rng
from .video_list import (check_ann_file, check_video_root, find_missing,
                         read_video_list)
from .video_reader import reads_local_files, run_pipeline


@DATASETS.register_module()
class CheckedVideoDataset(VideoDataset):
    """VideoDataset that checks its list and copes with unreadable videos.

    The annotation list is checked line by line before training. A video that
    is absent, empty, truncated or otherwise undecodable is

    - in training: logged, counted over all workers, and replaced by another
      sample, until more than ``max_bad_ratio`` of the list is bad;
    - in test: an error, or counted as wrong (``on_bad_video``).

    Only what goes wrong in transforms that read the video
    (:data:`~.video_reader.READERS`) makes a video bad; any other
    error of the pipeline is raised as it is.

    Args:
        ann_file (str): List of ``path label`` lines; paths may hold spaces.
            In test mode also a list of bare paths, with labels -1.
        pipeline (list[dict | Callable]): Transforms.
        class_file (str, optional): Class list
            (:func:`~.class_list.read_class_list`). Labels are checked
            against it and its names become ``metainfo['classes']``.
        max_bad_ratio (float): Largest share of bad videos, 0 to 1, that
            training tolerates. Defaults to 0.01.
        on_bad_video (str): In test mode, ``'error'``, or
            ``'count_as_wrong'``: the sample keeps its label, takes the
            pixels of the next readable video and is marked with
            ``bad_video=True`` in its metainfo, for
            :class:`~..evaluation.VideoAccMetric`. Defaults to ``'error'``.
        seed (int, optional): In training, draw the augmentation of a sample
            from this seed, the epoch (:meth:`set_epoch`) and its index, so
            that it depends neither on the number of workers nor on what ran
            before. By default the generators are left alone.
        **kwargs: Passed to MMAction2's ``VideoDataset``.

    Raises:
        FileNotFoundError: If the list, the class file or the video folder
            is absent, or in test mode a video.
        ValueError: If an argument, the list or the class file is malformed.
        RuntimeError: If too many videos are bad, or one in test mode.
    """

    def __init__(self,
                 ann_file: str,
                 pipeline: List,
                 *,
                 class_file: Optional[str] = None,
                 max_bad_ratio: float = 0.01,
                 on_bad_video: str = 'error',
                 seed: Optional[int] = None,
                 **kwargs) -> None:
        self.class_file = class_file
        self.class_names = class_file and read_class_list(class_file)
        self.max_bad_ratio = max_bad_ratio
        self.on_bad_video = on_bad_video
        self.seed = seed
        self._check_settings(kwargs)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._drawn = (0, 0)  # index asked for, replacements drawn
        super().__init__(ann_file, pipeline, **kwargs)
        if self.class_names:
            self._metainfo['classes'] = self.class_names

    def _check_settings(self, kwargs: dict) -> None:
        if not 0 <= self.max_bad_ratio <= 1:
            raise ValueError('max_bad_ratio must be from 0 to 1, got '
                             f'{self.max_bad_ratio!r}')
        if self.on_bad_video not in ('error', 'count_as_wrong'):
            raise ValueError("on_bad_video must be 'error' or "
                             f"'count_as_wrong', got {self.on_bad_video!r}")
        if self.on_bad_video != 'error' and not kwargs.get('test_mode'):
            raise ValueError(
                "on_bad_video='count_as_wrong' is for test_mode=True; in "
                'training bad videos are replaced (see max_bad_ratio)')
        if self.seed is not None and (not isinstance(self.seed, int)
                                      or self.seed < 0):
            raise ValueError('seed must be None or an integer from 0, got '
                             f'{self.seed!r}')
        num_classes = kwargs.get('num_classes')
        if self.class_names and num_classes not in (None, len(
                self.class_names)):
            raise ValueError(f'num_classes={num_classes}, but class_file '
                             f'lists {len(self.class_names)} classes')

    def load_data_list(self) -> List[dict]:
        """Read the annotation list, checking every line.

        Returns:
            list[dict]: ``filename`` and ``label`` of each video.
        """
        root = self.data_prefix.get('video')
        check_ann_file(self.ann_file)
        if self._on_local_disk():
            check_video_root(root)
        if self.class_names:
            check_protocol(self.ann_file, self.class_names, self.class_file)
        if self.multi_class:
            return super().load_data_list()
        num_classes = self.num_classes
        if self.class_names:
            num_classes = len(self.class_names)
        lines = read_video_list(
            self.ann_file,
            self.delimiter,
            num_classes,
            allow_unlabelled=self.test_mode)
        return [
            dict(filename=osp.join(root or '', path), label=label)
            for path, label in lines
        ]

    def full_init(self) -> None:
        """Load the list, then look for its videos on disk."""
        if self._fully_initialized:
            return
        super().full_init()
        self._bad = BadVideos(self._filename, len(self))
        if self._on_local_disk():
            self._find_missing()

    def _on_local_disk(self) -> bool:
        return reads_local_files(self.pipeline.transforms)

    def _find_missing(self) -> None:
        missing = find_missing([self._filename(i) for i in range(len(self))])
        if not missing:
            return
        self._bad.add(missing, 'no such file')
        if not self.test_mode:
            self._check_bound()
        elif self.on_bad_video == 'error':
            raise FileNotFoundError(
                f'{len(missing)} of the {len(self)} videos of {self.ann_file} '
                f'are absent: {self._bad.describe(missing)}; correct '
                'data_prefix=dict(video=...) or the list, or set '
                "on_bad_video='count_as_wrong'")

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that ``seed`` is combined with.

        Args:
            epoch (int): Epoch, from 0. Workers that are already running see
                it too.
        """
        self._epoch.fill_(epoch)

    @property
    def bad_videos(self) -> List[str]:
        """list[str]: Files found bad so far, by any worker."""
        self.full_init()
        return [self._filename(i) for i in self._bad.indices()]

    def __getitem__(self, idx: int) -> dict:
        """See :class:`mmengine.dataset.BaseDataset`."""
        idx = idx + len(self) if idx < 0 else idx
        self._drawn = (idx, 0)
        return super().__getitem__(idx)

    def _rand_another(self) -> int:
        if self.seed is None:
            return super()._rand_another()
        idx, count = self._drawn
        self._drawn = (idx, count + 1)
        with self._rng(idx, count + 1):
            return super()._rand_another()

    def _rng(self, *key: int) -> ContextManager:
        if self.seed is None:
            return nullcontext()
        return sample_rng(self.seed, int(self._epoch), *key)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one video.

        Args:
            idx (int): Index of the video, from 0.

        Returns:
            Any: The packed sample. In training None, which makes MMEngine
            draw another one, if the video is bad.

        Raises:
            RuntimeError: If the video is bad in test mode, or makes too many
                bad ones in training.
        """
        if self.test_mode:
            data = self._prepare_test(idx)
            if isinstance(data, dict) and 'data_samples' in data:
                # for messages and files that tell videos apart
                data['data_samples'].set_metainfo(
                    dict(filename=self._filename(idx)))
            return data
        if idx in self._bad:
            return None
        try:
            with self._rng(idx):
                return self._run(idx)
        except UnreadableVideo as error:
            self._bad.add([idx], error.reason)
            self._check_bound()
            return None

    def _run(self, idx: int, source: Optional[str] = None) -> Any:
        return run_pipeline(self.pipeline.transforms, self.get_data_info(idx),
                            source)

    def _prepare_test(self, idx: int) -> Any:
        if self.on_bad_video == 'count_as_wrong':
            return self._run_or_stand_in(idx)
        try:
            return self._run(idx)
        except UnreadableVideo as error:
            raise UserError(
                f'cannot read {self._filename(idx)}: {error.reason}; replace '
                f'the file, delete its line from {self.ann_file}, or set '
                "on_bad_video='count_as_wrong'") from error

    def _run_or_stand_in(self, idx: int) -> Any:
        for offset in range(len(self)):
            donor = (idx + offset) % len(self)
            if donor in self._bad:
                continue
            try:
                data = self._run(idx, source=self._filename(donor))
            except UnreadableVideo as error:
                self._bad.add([donor], error.reason)
                continue
            if donor != idx and data is not None:
                data['data_samples'].set_metainfo(dict(bad_video=True))
            return data
        raise UserError(f'none of the {len(self)} videos of '
                        f'{self.ann_file} can be read: '
                        f'{self._bad.describe(self._bad.indices())}')

    def _check_bound(self) -> None:
        count = len(self._bad)
        if count > self.max_bad_ratio * len(self) or count == len(self):
            raise UserError(
                f'{count} of the {len(self)} videos of {self.ann_file} are '
                f'bad, more than max_bad_ratio={self.max_bad_ratio} allows: '
                f'{self._bad.describe(self._bad.indices())}; check '
                'data_prefix=dict(video=...), replace the files or delete '
                'their lines, or raise max_bad_ratio')

    def _filename(self, idx: int) -> str:
        return self.get_data_info(idx)['filename']

    def get_subset_(self, indices: Union[Sequence[int], int]) -> None:
        """See :meth:`mmengine.dataset.BaseDataset.get_subset_`."""
        self.full_init()
        super().get_subset_(indices)
        self._bad = self._bad.subset(self._filename, indices)

    def get_subset(self, indices: Union[Sequence[int],
                                        int]) -> 'CheckedVideoDataset':
        """See :meth:`mmengine.dataset.BaseDataset.get_subset`."""
        self.full_init()
        subset = super().get_subset(indices)
        subset._bad = self._bad.subset(subset._filename, indices)
        subset._epoch = self._epoch.clone().share_memory_()
        return subset
