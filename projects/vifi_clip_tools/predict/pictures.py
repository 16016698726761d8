"""Videos with labels and timelines: where they go, and what is there."""
import os.path as osp
import re
from typing import Any, Container, Dict, Mapping, Sequence
from urllib.parse import unquote

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput, is_url, url_path
from projects.vifi_clip.files import write_bytes
from ..cli.outputs import check_target
from .options import Options

_KINDS = ('.png', '.json')
_LONGEST = 100  # letters of a name; a file system takes 255 bytes


class Pictures:
    """What ``--save-video`` and ``--timeline`` ask for, of all ``videos``, so
    that names differ."""

    def __init__(self, options: Options,
                 videos: Sequence[VideoInput]) -> None:
        self.options, self._videos = options, videos
        timeline, folder = options.timeline, options.save_video
        self.wanted = bool(folder or timeline)
        self.go_on({})
        self._one_file = bool(timeline) and timeline.lower().endswith(_KINDS)
        self._sources = {osp.realpath(video.path) for video in videos
                         if video.path and not is_url(video.path)}
        if self._one_file and len(videos) > 1:
            raise ValueError(f'--timeline {timeline} is one file, and there '
                             f'are {len(videos)} videos: give a folder')
        if folder:
            check_target('--save-video', osp.join(folder, 'x'), ('x', ))
        if self._one_file:
            check_target('--timeline', timeline, _KINDS)
        elif timeline:
            check_target('--timeline', osp.join(timeline, 'x'), ('x', ))

    def settings(self) -> Dict[str, Any]:
        """Return what decides the pictures; empty if none are wanted."""
        options = self.options
        settings = {name: path and osp.abspath(path) for name, path in (
            ('save_video', options.save_video),
            ('timeline', options.timeline))}
        if options.timeline:
            settings.update(window=options.window, stride=options.stride)
        return dict(pictures=settings) if self.wanted else {}

    def go_on(self, before: Mapping[str, str]) -> None:
        """Keep the names that pictures of stopped work have (stems by names
        of videos), and find others for the rest."""
        self.stems = (target_stems(self._videos, before) if self.wanted
                      else {})

    def complete(self, video: VideoInput) -> bool:
        """Tell whether all pictures of a video are there."""
        return all(map(osp.exists, self._targets(video).values()))

    def check(self, videos: Sequence[VideoInput],
              ours: Container[str] = ()) -> None:
        """Refuse to write over files, but for pictures of the videos ``ours``,
        which are from the same work, stopped."""
        for video in videos:
            for option, path in self._targets(video).items():
                if osp.realpath(path) in self._sources:
                    raise ValueError(f'{option} would write over the input '
                                     f'{path}: choose another folder')
                if osp.isdir(path):
                    raise ValueError(f'{option} cannot write {path}, which '
                                     'is a folder')
                if (osp.lexists(path) and not self.options.overwrite
                        and video.name not in ours):
                    raise ValueError(f'{option}: {path} exists; choose a new '
                                     'place, or add --overwrite')

    def _targets(self, video: VideoInput) -> Dict[str, str]:
        """Path by option."""
        folder, timeline = self.options.save_video, self.options.timeline
        stem, targets = self.stems.get(video.name, ''), {}
        if folder:
            targets['--save-video'] = osp.join(folder, f'{stem}.mp4')
        if self._one_file:
            targets['--timeline'] = timeline
        elif timeline:
            targets.update((f'--timeline {kind}', osp.join(
                timeline, stem + kind)) for kind in _KINDS)
        return targets

    def make(self, inferencer: ViFiCLIPInferencer, video: VideoInput,
             result: Mapping[str, Any]) -> None:
        """Write them for one video."""
        if not self.wanted:
            return
        from .drawing import draw_timeline, save_video, timeline_json
        options, timeline = self.options, None
        with video.opened() as here:  # what is fetched, is fetched once
            for option, path in self._targets(video).items():
                if option == '--save-video':
                    save_video(here, result, path)
                    continue
                timeline = timeline or inferencer.timeline(
                    here, options.window, options.stride)
                write_bytes(path, timeline_json(video.name, timeline)
                            if path.lower().endswith('.json') else
                            draw_timeline(timeline, video.name,
                                          inferencer.sample(here, 8),
                                          options.threshold))


def target_stems(videos: Sequence[VideoInput],
                 before: Mapping[str, str]) -> Dict[str, str]:
    """Name the files of each video, without folders, no two alike; by the
    video's name, after those that are given away already (``before``).

    The ending of a name stays, unless it is .mp4: ``test.avi`` and
    ``test.mp4`` of different runs become ``test.avi.mp4`` and ``test.mp4``.
    """
    videos = [video for video in videos if video.name not in before]
    plain = [_stem(video.name) for video in videos]
    taken = {stem.lower() for stem in plain}
    stems = dict(before)
    used = {stem.lower() for stem in before.values()}
    for video, stem in zip(videos, plain):
        name, number = stem, 2
        while name.lower() in (used if name == stem else used | taken):
            name, number = f'{stem}-{number}', number + 1
        used.add(name.lower())
        stems[video.name] = name
    return stems


def _stem(name: str) -> str:
    if is_url(name):
        name = unquote(url_path(name))
    stem = osp.basename(name.rstrip('/'))
    if stem.lower().endswith('.mp4'):
        stem = stem[:-len('.mp4')]
    stem = re.sub(r'[^\w.()+ -]', '_', stem).strip('. ')
    return stem[:_LONGEST] or 'video'
