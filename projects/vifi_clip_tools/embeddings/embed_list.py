"""Which videos are embedded: a list with labels, a folder, files."""
import hashlib
import json
import os.path as osp
from dataclasses import dataclass
from typing import List, Optional, Sequence

from projects.vifi_clip.errors import UserError


@dataclass
class VideoSet:
    """N videos.

    Args:
        names (list[str]): What they are called in the file of embeddings.
        paths (list[str]): Where they are.
        labels (list[int], optional): None if they are not known.
        class_names (list[str], optional): Names of labels 0..K-1.
    """
    names: List[str]
    paths: List[str]
    labels: Optional[List[int]] = None
    class_names: Optional[List[str]] = None

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """Of names and labels, which tells one list from another."""
        text = json.dumps([self.names, self.labels])
        return hashlib.sha256(text.encode()).hexdigest()


def read_videos(inputs: Sequence[str],
                root: Optional[str] = None,
                classes: Optional[str] = None) -> VideoSet:
    """Find the videos to embed.

    Args:
        inputs (Sequence[str]): One list (``.txt``) of ``name label`` lines,
            as MMAction2 has them, or of names alone; or folders, patterns
            and files.
        root (str, optional): Folder that the names of a list start from.
            Defaults to the working directory.
        classes (str, optional): Class names of a list's labels: a file, or
            names with commas between.

    Returns:
        VideoSet: In the order given.

    Raises:
        FileNotFoundError: No list, or no video at all.
        ValueError: A bad line, a label without a class, or options that
            belong to a list.
    """
    if len(inputs) == 1 and inputs[0].endswith('.txt'):
        return _read_list(inputs[0], root, classes)
    for option, value in dict(root=root, classes=classes).items():
        if value is not None:
            raise ValueError(f'--{option} belongs to a list of videos; give '
                             'one .txt file of "name label" lines')
    for path in inputs:
        if path.endswith('.txt'):
            raise ValueError(f'{path}: give one list and nothing beside it')
    from projects.vifi_clip.apis.inputs import expand_inputs
    videos = expand_inputs(list(inputs))
    for video in videos:
        if video.path is None:
            raise UserError(f'{video.name} is no video file')
    return VideoSet([v.name for v in videos], [v.path for v in videos])


def _read_list(path: str, root: Optional[str],
               classes: Optional[str]) -> VideoSet:
    from projects.vifi_clip.apis.inputs import read_labels
    from projects.vifi_clip.datasets.video_list import (find_missing,
                                                        read_video_list)
    if not osp.isfile(path):
        raise FileNotFoundError(f'No such list of videos: {path}')
    if root is not None and not osp.isdir(root):
        raise FileNotFoundError(f'--root {root} is no folder; give the one '
                                f'that the names in {path} start from')
    class_names = None if classes is None else read_labels(
        classes, '--classes')
    rows = read_video_list(
        path, num_classes=class_names and len(class_names),
        allow_unlabelled=True)
    names, labels = map(list, zip(*rows))
    if max(labels) >= 2**31:
        raise ValueError(f'{path}: label {max(labels)} is too large')
    paths = [osp.join(root or '', name) for name in names]
    # Some that are absent are reported with the bad ones; all of them are a
    # wrong folder.
    if len(find_missing(paths)) == len(paths):
        raise FileNotFoundError(
            f'none of the {len(paths)} videos of {path} is there, such as '
            f'{paths[0]}; --root FOLDER says where their names start from')
    if labels[0] < 0:
        if classes is not None:
            raise ValueError(f'--classes: {path} has names and no labels')
        labels = None
    return VideoSet(names, paths, labels, class_names)
