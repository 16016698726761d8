"""Videos with labels and timelines: where they go, and what is there."""
import argparse
import os
import os.path as osp
import re
import sys
from types import MappingProxyType
from typing import (TYPE_CHECKING, Any, Container, Dict, Iterator, List,
                    Mapping, Optional, Sequence)
from urllib.parse import unquote

from ..cli.outputs import check_target
from projects.vifi_clip.apis.inputs import url_path
from projects.vifi_clip.apis.inputs import VideoInput, is_url

if TYPE_CHECKING:
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer

_KINDS = ('.png', '.json')
_LONGEST = 100  # letters of a name; a file system takes 255 bytes


class Pictures:
    """What ``--save-video`` and ``--timeline`` ask for.

    Args:
        args (Namespace): Of ``predict.parse_args``.
        videos (Sequence[VideoInput]): All videos, so that names differ.

    Raises:
        ValueError: A place that cannot be written, or one file for several
            videos.
    """

    def __init__(self, args: argparse.Namespace,
                 videos: Sequence[VideoInput]) -> None:
        self.args = args
        self.one = bool(args.timeline) and args.timeline.lower().endswith(
            _KINDS)
        self.wanted = bool(args.save_video or args.timeline)
        self._videos = videos
        self.stems = target_stems(videos) if self.wanted else {}
        self._sources = {osp.realpath(video.path) for video in videos
                         if video.path and not is_url(video.path)}
        if self.one and len(videos) > 1:
            raise ValueError(f'--timeline {args.timeline} is one file, and '
                             f'there are {len(videos)} videos: give a folder')
        for option, folder in self._folders():
            check_target(option, osp.join(folder, 'x'), ('x', ))
        if self.one:
            check_target('--timeline', args.timeline, _KINDS)
        if args.save_video and int(os.environ.get('RANK', 0)) == 0:
            print('saved videos have no sound', file=sys.stderr)

    def _folders(self) -> Iterator[tuple]:
        if self.args.save_video:
            yield '--save-video', self.args.save_video
        if self.args.timeline and not self.one:
            yield '--timeline', self.args.timeline

    def settings(self) -> Dict[str, Any]:
        """What decides the pictures; empty if none are wanted."""
        if not self.wanted:
            return {}
        args = self.args
        found: Dict[str, Any] = {
            option: path and osp.abspath(path)
            for option, path in (('save_video', args.save_video),
                                 ('timeline', args.timeline))}
        if args.timeline:
            found.update(window=args.window, stride=args.stride)
        return dict(pictures=found)

    def go_on(self, before: Mapping[str, str]) -> None:
        """Keep the names that pictures have, and find others for the rest.

        Args:
            before (Mapping[str, str]): Of work that was stopped: stems by
                the names of its videos.
        """
        if self.wanted:
            self.stems = target_stems(self._videos, before)

    def complete(self, video: VideoInput) -> bool:
        """Whether all pictures of a video are there."""
        return not self.wanted or all(
            osp.exists(path) for path in self._targets(video).values())

    def check(self, videos: Sequence[VideoInput], overwrite: bool,
              ours: Container[str] = ()) -> None:
        """Refuse to write over files.

        Args:
            videos (Sequence[VideoInput]): Whose pictures will be written.
            overwrite (bool): Files may be replaced.
            ours (Container[str]): Names of videos of which pictures are
                from the same work, stopped. Defaults to none.

        Raises:
            ValueError: One is there, or is a video to be read.
        """
        for video in videos if self.wanted else ():
            for option, path in self._targets(video).items():
                if osp.realpath(path) in self._sources:
                    raise ValueError(f'{option} would write over {path}, '
                                     'which is to be read: choose another '
                                     'folder')
                if osp.isdir(path):
                    raise ValueError(f'{option} cannot write {path}, which '
                                     'is a folder')
                if (osp.lexists(path) and not overwrite
                        and video.name not in ours):
                    raise ValueError(f'{path} exists; choose another place '
                                     f'for {option.split()[0]}, or add '
                                     '--overwrite')

    def _targets(self, video: VideoInput) -> Dict[str, str]:
        """Path by option."""
        args, stem = self.args, self.stems[video.name]
        found = {}
        if args.save_video:
            found['--save-video'] = osp.join(args.save_video, f'{stem}.mp4')
        if self.one:
            found['--timeline'] = args.timeline
        elif args.timeline:
            for kind in _KINDS:
                found[f'--timeline {kind}'] = osp.join(args.timeline,
                                                       stem + kind)
        return found

    def make(self, inferencer: 'ViFiCLIPInferencer', video: VideoInput,
             result: Mapping[str, Any]) -> None:
        """Write them for one video.

        Raises:
            UserError: It cannot be read.
        """
        if not self.wanted:
            return
        from .video import save_video
        from .timeline import draw_timeline, timeline_json
        targets = self._targets(video)
        path = targets.pop('--save-video', None)
        if path:
            save_video(video, result, path)
        if not targets:
            return
        from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
        timeline = inferencer.timeline(video, self.args.window,
                                       self.args.stride)
        for path in targets.values():
            content = (
                timeline_json(video.name, timeline)
                if path.lower().endswith('.json') else draw_timeline(
                    timeline, video.name, inferencer.sample(video, 8),
                    self.args.threshold))
            AtomicLocalBackend().put(content, path)


def target_stems(videos: Sequence[VideoInput],
                 before: Mapping[str, str] = MappingProxyType({})
                 ) -> Dict[str, str]:
    """Names for files of each video, without folders; no two alike.

    Args:
        videos (Sequence[VideoInput]): Videos with different names.
        before (Mapping[str, str]): Names that are given away already, and
            stay. Defaults to none.

    Returns:
        dict[str, str]: By the name of the video; with those of ``before``.
    """
    videos = [video for video in videos if video.name not in before]
    plain: List[str] = [_stem(video) for video in videos]
    taken = {stem.lower() for stem in plain}
    found: Dict[str, str] = dict(before)
    used = {stem.lower() for stem in before.values()}
    for video, stem in zip(videos, plain):
        unique: Optional[str] = stem if stem.lower() not in used else None
        number = 2
        while unique is None:
            other = f'{stem}-{number}'
            if other.lower() not in taken | used:
                unique = other
            number += 1
        used.add(unique.lower())
        found[video.name] = unique
    return found


def _stem(video: VideoInput) -> str:
    name = video.name
    if is_url(name):
        name = unquote(url_path(name))
    stem = osp.splitext(osp.basename(name.rstrip('/')))[0]
    stem = re.sub(r'[^\w.()+ -]', '_', stem).strip('. ')
    return stem[:_LONGEST] or 'video'
