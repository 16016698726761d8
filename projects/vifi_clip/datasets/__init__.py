from .class_list import (check_class_names, read_class_descriptions,
                         read_class_list)
from .text_transforms import OpenCLIPTokenize
from .transforms import SparseSampleViews
from .video_dataset import CheckedVideoDataset
from .video_text_dataset import CheckedVideoTextDataset

__all__ = [
    'CheckedVideoDataset', 'CheckedVideoTextDataset', 'OpenCLIPTokenize',
    'SparseSampleViews', 'check_class_names', 'read_class_descriptions',
    'read_class_list'
]
