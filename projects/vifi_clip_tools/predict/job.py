"""Predict many videos: alone or beside other processes, and go on later."""
import os
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple

from tqdm import tqdm

from projects.vifi_clip.apis.batches import NONE
from projects.vifi_clip.apis.identity import record
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import (VideoInput, expand_inputs,
                                            is_camera, read_labels)
from projects.vifi_clip.apis.pipeline import Views, parse_views
from projects.vifi_clip.apis.processes import join_processes, wait_for_all
from projects.vifi_clip.errors import UnreadableVideo, UserError
from .pictures import Pictures
from .results_file import ResultsFile, check_out

Failures = List[Tuple[str, str]]  # names and reasons
_BAR = 20  # letters of a bar


def predict(options: Namespace) -> int:
    """Print, or write, the labels of each video; return 1 if some could not
    be read, or drawn.

    Raises:
        UserError: Not a single video could be read.
    """
    sys.stdout.reconfigure(errors='replace')  # names of files hold anything
    rank, world = join_processes()
    if options.out:
        check_out(options.out, options.overwrite)
    labels = None if options.labels is None else read_labels(options.labels)
    views = parse_views(options.num_views)
    videos = _videos(options)
    pictures = Pictures(options, videos)
    if not (options.out and os.path.exists(options.out)):
        pictures.check(videos)  # else an earlier run may have drawn some
    inferencer = options.model.load(labels=labels)
    if options.templates:
        inferencer.set_labels(inferencer.class_names, options.templates)
    if hasattr(inferencer.model.cls_head, 'text_classifier'):
        # Each process has another number of batches, so that encoding classes
        # must not wait for the others.
        inferencer.classifier.shard_classes = False
    job = _Job(options, inferencer, views, pictures, rank, world)
    bad = job.to_file(videos) if options.out else job.to_screen(videos)
    if rank == 0 and len(bad) == len(videos):
        raise UserError(f'none of {len(bad)} videos could be read; '
                        f'{UnreadableVideo(*bad[0])}')
    if rank == 0 and bad:
        print(f'{len(bad)} of {len(videos)} videos could not be read:',
              file=sys.stderr)
        for name, reason in bad:
            print(f'  {name}: {reason}', file=sys.stderr)
    return 1 if bad or job.not_drawn else 0


@dataclass
class _Job:
    """Predictions of videos, with pictures and a bar."""

    options: Namespace
    inferencer: ViFiCLIPInferencer
    views: Views
    pictures: Pictures
    rank: int
    world: int
    not_drawn: int = 0  # videos whose pictures failed

    def to_screen(self, videos: Sequence[VideoInput]) -> Failures:
        """Print results; return what failed."""
        bad: Failures = []
        for result in self._results(videos):
            if 'error' in result:
                bad.append((result['video'], result['error']))
            else:
                _print_result(result)
        return bad

    def to_file(self, videos: Sequence[VideoInput]) -> Failures:
        """Write results, after those that are there already."""
        options, pictures, first = self.options, self.pictures, self.rank == 0
        topk = min(options.topk, self.inferencer.model.cls_head.num_classes)
        with ResultsFile(options.out, topk) as file:
            made_with = dict(self._record(), **pictures.settings())
            resumed = first and file.prepare(made_with, options.overwrite)
            wait_for_all()
            done = file.done()
            left = [video for video in videos
                    if video.name not in done or not pictures.complete(video)]
            wait_for_all()  # all have read before one writes
            if first:
                pictures.check(left, ours=done)
                if resumed:
                    print(f'{options.out}: {len(videos) - len(left)} of '
                          f'{len(videos)} were done before', file=sys.stderr)
            wait_for_all()
            with file.writer(self.rank, self.world) as write:
                for result in self._results(left[self.rank::self.world]):
                    write(result)
            wait_for_all()
            bad = file.merge([v.name for v in videos]) if first else []
        if first:
            print(f'{options.out}: {len(videos) - len(bad)} of {len(videos)} '
                  'videos')
        return bad

    def _record(self) -> Dict[str, Any]:
        """Return what decides the predictions."""
        options, model, more = self.options, self.options.model, {}
        if hasattr(self.inferencer.model.cls_head, 'text_classifier'):
            text = self.inferencer.classifier
            more = dict(labels=self.inferencer.class_names,
                        templates=text.templates)
            if text.descriptions:
                more['descriptions'] = text.descriptions
        return record(
            self.inferencer, self.views, config=model.config,
            checkpoint=model.checkpoint, inference=model.inference,
            topk=options.topk, threshold=options.threshold, **more)

    def _results(self, videos: Sequence[VideoInput]) -> Iterator[dict]:
        """Results of videos, drawn."""
        if not videos:
            return
        options = self.options
        results = self.inferencer.predict(
            list(videos), num_views=self.views, batch_size=options.batch_size,
            topk=options.topk, threshold=options.threshold,
            on_error='report')
        with tqdm(total=len(videos), unit='video', desc='predict',
                  # no bar where the results are printed
                  disable=self.rank > 0 or not (
                      options.out or self.pictures.wanted)) as bar:
            for video, result in zip(videos, results):
                # first: a picture without a result is not of this work
                yield result
                try:
                    if 'error' not in result:
                        self.pictures.make(self.inferencer, video, result)
                except UserError as error:
                    self.not_drawn += 1
                    print(f'not drawn: {error}', file=sys.stderr)
                bar.update()


def _videos(options: Namespace) -> List[VideoInput]:
    """List the videos; what a camera shows is recorded, so that what is
    recognised is what is saved."""
    inputs: list = []
    for name in options.videos:
        inputs += _names(sys.stdin) if name == '-' else [name]
    if options.list:
        with open(options.list, encoding='utf-8-sig',
                  errors='surrogateescape') as file:
            inputs += _names(file)
    videos = [replace(video, max_mb=options.max_mb, timeout=options.timeout)
              for video in expand_inputs(inputs)]
    for i, video in enumerate(videos):
        if is_camera(video.path or ''):
            print(f'recording from {video.name}', file=sys.stderr)
            with video.opened() as videos[i]:
                pass
    return videos


def _names(lines: Iterable[str]) -> List[VideoInput]:
    """Take one video a line; one that is absent is reported with the others
    that cannot be read."""
    names = (line.rstrip('\r\n').lstrip('\ufeff') for line in lines)
    return [VideoInput(name, name) for name in names if name.strip()]


def _print_result(result: dict) -> None:
    """Print a result of ``ViFiCLIPInferencer.predict``."""
    print(result['video'])
    if result['label'] == NONE:
        print(f'  {NONE}; the nearest:')
    for label, score in zip(result['labels'], result['scores']):
        bar = ('█' * round(_BAR * score)).ljust(_BAR)
        print(f'  {100 * score:5.1f}%  {bar}  {label}')
    sys.stdout.flush()  # someone may be waiting behind a pipe
