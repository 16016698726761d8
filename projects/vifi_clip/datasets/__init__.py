"""Videos and their lists, read and checked; transforms."""
from .class_descriptions import read_class_descriptions
from .class_list import check_class_names, read_class_list
from .deferred import (DeferrableFlip, DeferrableFormatShape, DeferrableResize,
                       DeferrableVideoDecode)
from .frame_cache import CachedVideoDataset
from .kept_frames import KeptVideoReader
from .transforms import (DecordDecodeOnce, FrameColorJitter, OpenCLIPTokenize,
                         OpenCVDecodeOnce, PyAVDecodeOnce, RandomGreyClip,
                         RepeatFrames, SparseSampleViews, VideoDecode)
from .video_dataset import CheckedVideoDataset, CheckedVideoTextDataset
from .video_reader import VideoReader
