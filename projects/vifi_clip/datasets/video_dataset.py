"""MMAction2's VideoDataset and VideoTextDataset, made to survive bad lists and
bad videos."""
import hashlib
import logging
import os.path as osp
from contextlib import nullcontext
from itertools import chain, zip_longest
from pathlib import Path
from typing import (Any, ContextManager, Dict, List, Optional, Sequence,
                    Union)

import torch
from mmaction.datasets import VideoDataset, VideoTextDataset
from mmaction.registry import DATASETS
from mmengine.logging import print_log
from torch import Tensor

from ..errors import UnreadableVideo, UserError
from ..files import read_json
from .class_list import is_sentences, read_class_list
from .transforms import sample_rng
from .video_list import (check_ann_file, check_protocol, check_video_root,
                         find_missing, pack_remedy, read_video_list,
                         why_missing)
from .video_reader import reads_local_files, run_pipeline

_SHOWN = 5  # file names in a message


@DATASETS.register_module()
class CheckedVideoDataset(VideoDataset):
    """VideoDataset that checks its list and copes with unreadable videos.

    The annotation list is checked line by line before training. A video that
    is absent or cannot be decoded is

    - in training: logged, counted over all workers, and replaced by another
      sample, until more than ``max_bad_ratio`` of the list is bad;
    - in test: an error, or counted as wrong (``on_bad_video``).

    Only errors of steps that read the video (:data:`~.video_reader.READERS`)
    make it bad; any other error of the pipeline is raised as it is.

    Args:
        ann_file (str): List of ``path label`` lines; paths may hold spaces.
            In test mode also a list of bare paths, with labels -1.
        pipeline (list[dict | Callable]): Transforms.
        class_file (str, optional): Class list
            (:func:`~.class_list.read_class_list`). Labels are checked
            against it and its names become ``metainfo['classes']``.
        max_bad_ratio (float): Largest share of bad videos, 0 to 1, that
            training tolerates. Defaults to 0.01.
        on_bad_video (str): In test mode, ``'error'``, or ``'count_as_wrong'``:
            the sample keeps its label, takes the pixels of the next readable
            video and is marked with ``bad_video=True`` in its metainfo, for
            :class:`~..evaluation.VideoAccMetric`. Defaults to ``'error'``.
        seed (int, optional): In training, draw the augmentation of a sample
            from this seed, the epoch (:meth:`set_epoch`) and its index, so
            that it depends neither on the number of workers nor on what ran
            before. By default the generators are left alone.
        **kwargs: Passed to MMAction2's ``VideoDataset``.

    Raises:
        FileNotFoundError: A file or folder is absent, or in test mode a video.
        ValueError: An argument, the list or the class file is malformed.
        UserError: Too many videos are bad, or one in test mode.
    """

    def __init__(self, ann_file: str, pipeline: List, *,
                 class_file: Optional[str] = None,
                 max_bad_ratio: float = 0.01, on_bad_video: str = 'error',
                 seed: Optional[int] = None, **kwargs) -> None:
        self.class_file = class_file
        self.class_names = class_file and read_class_list(class_file)
        self.max_bad_ratio, self.on_bad_video = max_bad_ratio, on_bad_video
        self.seed = seed
        if not 0 <= max_bad_ratio <= 1:
            raise ValueError('max_bad_ratio must be from 0 to 1, got '
                             f'{max_bad_ratio!r}')
        if on_bad_video not in ('error', 'count_as_wrong'):
            raise ValueError("on_bad_video must be 'error' or "
                             f"'count_as_wrong', got {on_bad_video!r}")
        if on_bad_video != 'error' and not kwargs.get('test_mode'):
            raise ValueError(
                "on_bad_video='count_as_wrong' is for test_mode=True; in "
                'training bad videos are replaced (see max_bad_ratio)')
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ValueError('seed must be None or an integer from 0, got '
                             f'{seed!r}')
        names, count = self.class_names, kwargs.get('num_classes')
        if names and count not in (None, len(names)):
            raise ValueError(f'num_classes={count}, but class_file lists '
                             f'{len(names)} classes')
        if kwargs.get('multi_class'):
            raise ValueError(
                'multi_class=True: multi-label lists are not supported, as '
                'the loss is a softmax, of one class; leave it out')
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._drawn = (0, 0)  # index asked for, replacements drawn
        super().__init__(ann_file, pipeline, **kwargs)
        if names:
            self._metainfo['classes'] = names

    def load_data_list(self) -> List[dict]:
        """Read ``filename`` and ``label`` of each video, checked."""
        if self.class_names:
            check_protocol(self.ann_file, self.class_names, self.class_file)
        lines = read_video_list(
            self.ann_file, self.delimiter,
            len(self.class_names or ()) or self.num_classes,
            allow_unlabelled=self.test_mode)
        root = self.data_prefix.get('video') or ''
        return [dict(filename=osp.join(root, path), label=label)
                for path, label in lines]

    def full_init(self) -> None:
        """Load the list, and look for its videos on disk."""
        if self._fully_initialized:
            return
        check_ann_file(self.ann_file)
        if self._on_local_disk():
            check_video_root(self.data_prefix.get('video'))
        super().full_init()
        # In shared memory, so that all workers and the main process count
        # the same bad videos, whether they were forked or spawned.
        self._bad = torch.zeros(len(self), dtype=torch.bool).share_memory_()
        self._reasons: Dict[str, str] = {}  # as far as this process knows
        missing = self._on_local_disk() and find_missing(
            [self._filename(i) for i in range(len(self))])
        if not missing:
            return
        shown = map(self._filename, missing[:_SHOWN])
        self._add_bad(missing, *map(why_missing, shown))
        if not self.test_mode:
            self._check_bound()
        elif self.on_bad_video == 'error':
            raise FileNotFoundError(
                f'{len(missing)} of the {len(self)} videos of {self.ann_file} '
                f'are absent: {self._describe(missing)}; correct '
                'data_prefix=dict(video=...) or the list, or set '
                "on_bad_video='count_as_wrong'" + self._pack_remedy())

    def _pack_remedy(self) -> str:
        return pack_remedy(self.ann_file, self.data_prefix.get('video'))

    def get_cat_ids(self, idx: int) -> List[int]:
        """Return the class of a video, for MMEngine's ClassBalancedDataset."""
        return [self.get_data_info(idx)['label']]

    def _on_local_disk(self) -> bool:
        return reads_local_files(self.pipeline.transforms)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of ``seed``, from 0; running workers see it too."""
        self._epoch.fill_(epoch)

    @property
    def bad_videos(self) -> List[str]:
        """list[str]: Files found bad so far, by any worker."""
        self.full_init()
        return [self._filename(i) for i in self._bad_indices()]

    def _bad_indices(self) -> List[int]:
        return self._bad.nonzero()[:, 0].tolist()

    def _add_bad(self, indices: List[int], *reasons: str) -> None:
        """Mark videos as bad; ``reasons`` of the first, and of the rest."""
        self._bad[indices] = True
        self._reasons.update(zip_longest(
            map(self._filename, indices), reasons, fillvalue='no such file'))
        print_log(
            f'bad video {self._describe(indices)} [{int(self._bad.sum())} of '
            f'{len(self)} are bad so far]', logger='current',
            level=logging.WARNING)

    def _describe(self, indices: Sequence[int]) -> str:
        """Name the first few of some bad videos, with reasons."""
        unknown = 'found by another process, see its log'
        names = [f'{file} ({self._reasons.get(file, unknown)})'
                 for file in map(self._filename, indices[:_SHOWN])]
        if len(indices) > _SHOWN:
            names.append(f'and {len(indices) - _SHOWN} more')
        return ', '.join(names)

    def __getitem__(self, idx: int) -> dict:
        """See :class:`mmengine.dataset.BaseDataset`."""
        idx = idx + len(self) if idx < 0 else idx
        self._drawn = (idx, 0)
        return super().__getitem__(idx)

    def _rand_another(self) -> int:
        idx, count = self._drawn
        self._drawn = (idx, count + 1)
        with self._rng(*self._drawn):
            return super()._rand_another()

    def _rng(self, *key: int) -> ContextManager:
        if self.seed is None:
            return nullcontext()
        return sample_rng(self.seed, int(self._epoch), *key)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one video.

        In training None, which makes MMEngine draw another one, if the video
        is bad; UserError at too many of them, and in test mode.
        """
        if self.test_mode:
            return self._prepare_test(idx)
        if self._bad[idx]:
            return None
        try:
            with self._rng(idx):
                return self._run(idx)
        except UnreadableVideo as error:
            self._add_bad([idx], error.reason)
            self._check_bound()
            return None

    def _run(self, idx: int, source: Optional[str] = None) -> Any:
        return run_pipeline(self.pipeline.transforms, self.get_data_info(idx),
                            source)

    def _prepare_test(self, idx: int) -> Any:
        counted = self.on_bad_video == 'count_as_wrong'
        for donor in chain(range(idx, len(self)), range(idx)):
            if counted and self._bad[donor]:
                continue
            try:
                data = self._run(idx, source=self._filename(donor))
            except UnreadableVideo as error:
                if counted:
                    self._add_bad([donor], error.reason)
                    continue
                raise UserError(
                    f'cannot read {self._filename(idx)}: {error.reason}; '
                    'replace the file, delete its line from '
                    f"{self.ann_file}, or set on_bad_video='count_as_wrong'"
                ) from error
            if isinstance(data, dict) and 'data_samples' in data:
                # for messages and files that tell videos apart
                info = dict(filename=self._filename(idx))
                if donor != idx:
                    info['bad_video'] = True
                data['data_samples'].set_metainfo(info)
            return data
        raise UserError(f'none of the {len(self)} videos of '
                        f'{self.ann_file} can be read: '
                        f'{self._describe(self._bad_indices())}')

    def _check_bound(self) -> None:
        bad = self._bad_indices()
        if len(bad) > self.max_bad_ratio * len(self) or len(bad) == len(self):
            raise UserError(
                f'{len(bad)} of the {len(self)} videos of {self.ann_file} are '
                f'bad, more than max_bad_ratio={self.max_bad_ratio} allows: '
                f'{self._describe(bad)}; check '
                'data_prefix=dict(video=...), replace the files or delete '
                'their lines, or raise max_bad_ratio' + self._pack_remedy())

    def _filename(self, idx: int) -> str:
        return self.get_data_info(idx)['filename']

    def _copy_without_annotation(self, memo: Optional[dict] = None
                                 ) -> 'CheckedVideoDataset':
        # MMEngine's default is one dict for ever: it takes an object for a
        # dataset that was freed, whose address it has.
        return super()._copy_without_annotation({} if memo is None else memo)

    def get_subset_(self, indices: Union[Sequence[int], int]) -> None:
        """See :meth:`mmengine.dataset.BaseDataset.get_subset_`."""
        self.full_init()
        super().get_subset_(indices)
        self._bad = _part(self._bad, indices)

    def get_subset(self, indices: Union[Sequence[int],
                                        int]) -> 'CheckedVideoDataset':
        """See :meth:`mmengine.dataset.BaseDataset.get_subset`."""
        self.full_init()
        subset = super().get_subset(indices)
        subset._bad = _part(self._bad, indices)
        subset._reasons = dict(self._reasons)
        subset._epoch = self._epoch.clone().share_memory_()
        return subset


def _part(flags: Tensor, indices: Union[Sequence[int], int]) -> Tensor:
    """The flags of a subset, the first or last ``indices`` or those named."""
    if isinstance(indices, int):
        part = slice(indices) if indices >= 0 else slice(indices, None)
    else:
        part = list(indices)
    return flags[part].clone().share_memory_()


@DATASETS.register_module()
class CheckedVideoTextDataset(CheckedVideoDataset, VideoTextDataset):
    """VideoTextDataset with the checks of :class:`CheckedVideoDataset`.

    Every (video, caption) pair of ``{"video0.mp4": ["caption", ...]}`` is a
    sample with ``filename``, ``text`` and ``label``, a number that tells
    videos apart: captions of one video are positives of each other in a
    contrastive loss.

    Absent and unreadable videos are treated as in CheckedVideoDataset; the
    share of bad ones is counted in pairs. In test mode a video has one
    caption, and an unreadable video is an error, since every caption is
    ranked against all videos: without it, all other ranks could be better.

    Args:
        ann_file (str): JSON file in the format above.
        pipeline (list[dict | Callable]): Transforms, with
            :class:`OpenCLIPTokenize`.
        **kwargs: As CheckedVideoDataset (``data_prefix=dict(video=...)``,
            ``max_bad_ratio``, ``seed``, ``test_mode``).

    Raises:
        ValueError: If an argument or the list is malformed, or a video of a
            test list has several captions.
    """

    def __init__(self, ann_file: str, pipeline: List, **kwargs) -> None:
        if kwargs.get('on_bad_video', 'error') != 'error':
            raise ValueError(
                f'on_bad_video={kwargs["on_bad_video"]!r} (--bad-videos) is '
                'not for retrieval, where every video is an answer to every '
                'caption; replace bad videos or delete them from the list')
        super().__init__(ann_file, pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read ``filename``, ``text`` and ``label`` of each pair."""
        check_captions(read_json(Path(self.ann_file)), self.ann_file,
                       one_each=self.test_mode)
        pairs = VideoTextDataset.load_data_list(self)
        return [dict(pair, label=video_id(pair['filename'])) for pair in pairs]


def video_id(filename: str) -> int:
    """Return a number of 63 bits, the same in every process."""
    digest = hashlib.sha256(filename.encode()).digest()
    return int.from_bytes(digest[:8], 'big') >> 1


def check_captions(captions: Any, path: str, one_each: bool = False) -> None:
    """Raise ValueError if an annotation file holds no captions by video, or
    several of a video where there is to be one."""
    form = '{"video0.mp4": ["caption", ...], ...}'
    if not isinstance(captions, dict) or not captions:
        kind = 'an empty object' if captions == {} else type(captions).__name__
        raise ValueError(f'{path} holds {kind}; it should be {form}')
    for video, texts in captions.items():
        if not is_sentences(texts):
            raise ValueError(f'{path}: {video!r} has {texts!r} where a list '
                             f'of captions should be: {form}')
        if one_each and len(texts) > 1:
            raise ValueError(
                f'{path}: {video!r} has {len(texts)} captions, and recall is '
                'of one caption per video; keep one in the test list')
