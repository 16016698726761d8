"""Videos as the embeddings of their frames."""
from typing import Any, List, Mapping, Optional, Sequence

from mmaction.registry import DATASETS

from .frame_cache import FrameCache, cache_key, pipeline_identity
from .video_dataset import CheckedVideoDataset


@DATASETS.register_module()
class CachedVideoDataset(CheckedVideoDataset):
    """CheckedVideoDataset that reads embeddings instead of videos.

    For training behind an image tower that does not change, without
    augmentation. A sample's ``inputs`` are [T, D], for the backbone
    ``FrameEmbeddings``. Any list will do whose videos are in the cache, with
    any classes; the videos need not be there.

    Args:
        ann_file (str): As CheckedVideoDataset.
        pipeline (list): Behind the embeddings, which it finds as ``imgs``.
            Defaults to PackActionInputs alone.
        cache (str): Folder that ``tools/cache_frames.py`` wrote.
        source_pipeline (list[dict], optional): What the frames must have
            been read by. Not checked by default.
        kwargs: As CheckedVideoDataset.

    Raises:
        UserError: There is no cache, it was made by another pipeline, or it
            lacks videos of the list.
    """

    def __init__(self,
                 ann_file: str,
                 pipeline: Sequence = (dict(type='PackActionInputs'), ),
                 *,
                 cache: str,
                 source_pipeline: Optional[Sequence[Mapping]] = None,
                 **kwargs) -> None:
        self.cache = FrameCache(cache)
        if source_pipeline is not None:
            self.cache.check(pipeline=pipeline_identity(source_pipeline))
        super().__init__(ann_file, list(pipeline), **kwargs)

    def load_data_list(self) -> List[dict]:
        """As CheckedVideoDataset, with ``cache_key`` of each video."""
        videos = super().load_data_list()
        root = self.data_prefix.get('video')
        for video in videos:
            video['cache_key'] = cache_key(video['filename'], root)
        self.cache.check_holds([video['cache_key'] for video in videos],
                               self.ann_file)
        return videos

    def _on_local_disk(self) -> bool:
        return False  # the videos are not looked for

    def _run(self, idx: int, source: Optional[str] = None) -> Any:
        info = self.get_data_info(idx)
        info['imgs'] = self.cache[info['cache_key']]
        return self.pipeline(info)
