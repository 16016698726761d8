"""Predict many videos: alone or beside other processes, and go on later."""
import argparse
import sys
from typing import (TYPE_CHECKING, Any, Callable, Dict, Iterator, List,
                    Sequence, Tuple)

from projects.vifi_clip.errors import UserError
from ..cli.options import inference_settings
from .results_file import PredictionFile
from .predict_lines import reason_of
from .text import failures, result_lines, said_views
from projects.vifi_clip.apis.processes import barrier, rank_and_world
from projects.vifi_clip.apis.inputs import is_camera

if TYPE_CHECKING:
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
    from .pictures import Pictures
    from projects.vifi_clip.apis.inputs import VideoInput

Failures = List[Tuple[str, str]]


def run(args: argparse.Namespace, inferencer: 'ViFiCLIPInferencer',
        videos: Sequence['VideoInput'], views: Any,
        pictures: 'Pictures') -> int:
    """Predict, and print or write.

    Args:
        args (Namespace): Of ``predict.parse_args``.
        inferencer (ViFiCLIPInferencer): The model, with its labels.
        videos (Sequence[VideoInput]): What to recognise.
        views: Of ``parse_views``.
        pictures (Pictures): What else is made of each.

    Returns:
        int: Videos that failed.

    Raises:
        UserError: All failed.
        ValueError: The file is of another model, label set or setting.
    """
    rank, world = rank_and_world()
    # Processes have other numbers of batches, and must not wait in them.
    if hasattr(inferencer.model.cls_head, 'text_classifier'):
        inferencer.model.cls_head.text_classifier.shard_classes = False
    stream = Stream(args, inferencer, views, pictures, rank, world)
    if rank == 0:
        print(said_views(inferencer, views, videos), file=sys.stderr)
    if args.out:
        bad = _to_file(args, inferencer, videos, views, stream)
    else:
        pictures.check(videos, args.overwrite)
        bad = _to_screen(videos, stream)
    if rank == 0 and len(bad) == len(videos):
        first = '{} cannot be read: {}'.format(*bad[0])
        raise UserError(first if len(bad) == 1 else f'none of the {len(bad)} '
                        f'videos could be read; {first}')
    if rank == 0:
        for line in failures(bad, len(videos), args.out):
            print(line, file=sys.stderr)
    return len(bad) + len(stream.not_drawn)


def _to_screen(videos: Sequence['VideoInput'],
               stream: Callable[..., Iterator[dict]]) -> Failures:
    bad: Failures = []
    for result in stream(videos, 0):
        if 'error' in result:
            bad.append((result['video'], reason_of(result)))
            continue
        for line in result_lines(result):
            print(line)
        sys.stdout.flush()  # someone may be waiting behind a pipe
    return bad


def _to_file(args: argparse.Namespace, inferencer: 'ViFiCLIPInferencer',
             videos: Sequence['VideoInput'], views: Any,
             stream: 'Stream') -> Failures:
    rank, world = rank_and_world()
    names = [video.name for video in videos]
    with PredictionFile(args.out, _topk(args, inferencer)) as file:
        record = dict(_record(args, inferencer, views),
                      **stream.pictures.settings())
        resumed = rank == 0 and file.prepare(record, args.overwrite)
        barrier(world)
        pictures, before = stream.pictures, file.stems()
        pictures.go_on(before)
        done = file.done()
        left = [video for video in videos
                if video.name not in done or not pictures.complete(video)]
        barrier(world)  # all have read before one writes
        if rank == 0:
            pictures.check(left, args.overwrite, ours=before)
            file.keep_stems(pictures.stems)
            if resumed:
                print(f'{args.out}: {len(videos) - len(left)} of '
                      f'{len(videos)} were done before', file=sys.stderr)
        barrier(world)
        with file.writer(rank, world) as writer:
            for result in stream(left[rank::world], len(videos) - len(left)):
                writer.add(result)
        barrier(world)
        bad = file.merge(names) if rank == 0 else []
    if rank == 0:
        print(f'{args.out}: {len(videos) - len(bad)} of {len(videos)} videos')
    return bad


class Stream:
    """Predictions of videos, with pictures and a bar.

    Args:
        args (Namespace): The command line.
        inferencer (ViFiCLIPInferencer): The model.
        views: Of ``parse_views``.
        pictures (Pictures): What else is made of each video.
        rank, world (int): Which process this is, of how many.

    Attributes:
        not_drawn (list): Names and errors of videos whose picture failed.
    """

    def __init__(self, args: argparse.Namespace,
                 inferencer: 'ViFiCLIPInferencer', views: Any,
                 pictures: 'Pictures', rank: int, world: int) -> None:
        self.args, self.inferencer, self.views = args, inferencer, views
        self.pictures, self.rank, self.world = pictures, rank, world
        self.not_drawn: Failures = []

    def __call__(self, videos: Sequence['VideoInput'],
                 before: int) -> Iterator[dict]:
        """Results of videos; ``before`` have been done already."""
        from tqdm import tqdm
        if not videos:
            return
        args = self.args
        results = self.inferencer.predict(
            list(videos), num_views=self.views, batch_size=args.batch_size,
            topk=args.topk, threshold=args.threshold, on_error='report')
        # Between lines on a screen, a bar would only be in the way.
        hidden = self.rank > 0 or not (args.out or self.pictures.wanted)
        bar = tqdm(total=before * (self.world == 1) + len(videos),
                   initial=before * (self.world == 1), unit='video',
                   disable=hidden, desc='predict' if self.world == 1 else
                   f'1 of {self.world} processes')
        with bar:
            for video, result in zip(videos, results):
                if 'error' not in result:
                    self._draw(video, result)
                yield result
                bar.update()

    def _draw(self, video: 'VideoInput', result: Dict[str, Any]) -> None:
        try:
            self.pictures.make(self.inferencer, video, result)
        except UserError as error:
            self.not_drawn.append((video.name, str(error)))
            print(f'not drawn: {error}', file=sys.stderr)


def record_cameras(videos: Sequence['VideoInput'],
                   alone: bool) -> List['VideoInput']:
    """Cameras as frames: what is recognised is what is saved.

    Raises:
        ValueError: Several processes would share a camera.
        UserError: No such camera.
    """
    found = []
    for video in videos:
        if is_camera(video.path or ''):
            if not alone:
                raise ValueError(f'{video.name}: several processes cannot '
                                 'share a camera')
            print(f'recording from {video.name}', file=sys.stderr)
            with video.opened() as video:
                pass
        found.append(video)
    return found


def _topk(args: argparse.Namespace, inferencer: 'ViFiCLIPInferencer') -> int:
    head = inferencer.model.cls_head
    return min(args.topk, head.num_classes)


def _record(args: argparse.Namespace, inferencer: 'ViFiCLIPInferencer',
            views: Any) -> Dict[str, Any]:
    """What decides the predictions."""
    from ..embeddings.job import describe
    more: Dict[str, Any] = {}
    if hasattr(inferencer.model.cls_head, 'text_classifier'):
        text = inferencer.classifier
        more = dict(labels=inferencer.class_names, templates=text.templates)
        if text.descriptions:
            more['descriptions'] = text.descriptions
    return describe(
        inferencer, views, config=args.config, checkpoint=args.checkpoint,
        inference=inference_settings(args), topk=args.topk,
        threshold=args.threshold, **more)
