from .class_list import (check_class_names, read_class_descriptions,
                         read_class_list)
from .transforms import SparseSampleViews
from .video_dataset import CheckedVideoDataset

__all__ = [
    'CheckedVideoDataset', 'SparseSampleViews', 'check_class_names',
    'read_class_descriptions', 'read_class_list'
]
