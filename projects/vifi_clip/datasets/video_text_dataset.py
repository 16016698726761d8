"""MMAction2's VideoTextDataset, made to survive bad lists and bad videos."""
import hashlib
from pathlib import Path
from typing import Any, List

from mmaction.datasets import VideoTextDataset
from mmaction.registry import DATASETS

from ..files import read_json
from .class_list import is_sentences
from .video_dataset import CheckedVideoDataset


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
