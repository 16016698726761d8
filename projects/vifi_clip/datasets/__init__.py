from .cached_dataset import CachedVideoDataset
from .class_list import (check_class_names, read_class_descriptions,
                         read_class_list)
from .decoding import (DecordDecodeOnce, OpenCVDecodeOnce, PyAVDecodeOnce,
                       RepeatFrames)
from .text_transforms import OpenCLIPTokenize
from .transforms import FrameColorJitter, SparseSampleViews
from .video_dataset import CheckedVideoDataset
from .video_reader import VideoReader
from .video_text_dataset import CheckedVideoTextDataset

__all__ = [
    'CachedVideoDataset', 'CheckedVideoDataset', 'CheckedVideoTextDataset',
    'DecordDecodeOnce', 'FrameColorJitter', 'OpenCLIPTokenize',
    'OpenCVDecodeOnce', 'PyAVDecodeOnce', 'RepeatFrames', 'SparseSampleViews',
    'VideoReader', 'check_class_names', 'read_class_descriptions',
    'read_class_list'
]
