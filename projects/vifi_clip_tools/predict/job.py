"""Predict many videos: alone or beside other processes, and go on later."""
import os
import sys
import textwrap
from dataclasses import replace
from functools import partial
from typing import (Any, Dict, Iterable, Iterator, List, Optional, Sequence,
                    Tuple)

from mmengine.dist import barrier
from tqdm import tqdm

from projects.vifi_clip.apis.config import blamed_on
from projects.vifi_clip.apis.familiarity import UNLIKE
from projects.vifi_clip.apis.identity import record
from projects.vifi_clip.apis.inferencer import NONE, ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import (VideoInput, expand_inputs,
                                            file_of, is_camera)
from projects.vifi_clip.apis.loading import join_processes
from projects.vifi_clip.apis.pipeline import (Views, count_views, parse_views,
                                              pipeline_cfg)
from projects.vifi_clip.datasets.video_list import LABELS_BEHIND
from projects.vifi_clip.errors import UnreadableVideo, UserError
from ..cli.cluster import by_method, numbered
from ..cli.terminal import one_line
from .options import Options
from .pictures import Pictures
from .results_file import ResultsFile, check_out
from .texts import read_texts

Failures = List[Tuple[str, str]]  # names and reasons
_WIDTH, _BAR = 80, 20
_MOST = 20  # failures that are listed


def predict(options: Options) -> int:
    """Print, or write, the labels of each video; return 1 if some could not
    be read, or drawn.

    Raises:
        UserError: Not a single video could be read.
    """
    rank, world = join_processes()
    if options.out:
        check_out(options.out, options.overwrite,
                  {'--list': options.list, '--labels': options.labels})
    labels = read_texts(options)
    views = parse_views(options.num_views)
    videos = _videos(options)
    pictures = Pictures(options, videos)
    if not (options.out and os.path.exists(options.out)):
        pictures.check(videos)  # else an earlier run may have drawn some
    if options.save_video and rank == 0:
        print('saved videos have no sound', file=sys.stderr)
    inferencer = options.engine.here(options.model).load(
        labels=labels, templates=options.templates, views=[views])
    if options.templates:
        inferencer.set_labels(inferencer.class_names, options.templates)
    job = _Job(options, inferencer, views, pictures, rank, world)
    if rank == 0:
        job.print_sizes(len(videos))
    try:
        bad = job.to_file(videos) if options.out else job.to_screen(videos)
    except KeyboardInterrupt:
        if options.out:
            print(f'\n{options.out}: the same command resumes from here',
                  file=sys.stderr)
        raise
    if rank == 0 and len(bad) == len(videos):
        first = UnreadableVideo(*bad[0])
        raise first if len(bad) == 1 else UserError(
            f'none of the {len(bad)} videos could be read; {first}')
    if rank == 0 and bad:
        _print_failures(bad, len(videos), options.out)
    return 1 if bad or job.not_drawn else 0


class _Job:
    """Predictions of videos, with pictures and a bar."""

    def __init__(self, options: Options, inferencer: ViFiCLIPInferencer,
                 views: Views, pictures: Pictures, rank: int,
                 world: int) -> None:
        self.options, self.inferencer = options, inferencer
        self.views, self.pictures = views, pictures
        self.rank, self.world = rank, world
        self.place = (inferencer.device if options.engine.engine == 'local'
                      else 'Ray')
        self.not_drawn: List[str] = []  # videos whose pictures failed
        self.head = inferencer.model.cls_head
        self.any_labels = hasattr(self.head, 'text_classifier')
        # Each process has another number of batches, so that encoding classes
        # must not wait for the others.
        if self.any_labels:
            inferencer.classifier.shard_classes = False

    def print_sizes(self, videos: int) -> None:
        """Say '3 videos, 24 labels, 12 views of 16 frames, on cpu'."""
        inferencer = self.inferencer
        with blamed_on(inferencer.cfg.filename):
            views, frames = count_views(
                pipeline_cfg(inferencer.cfg, self.views),
                getattr(self.head, 'num_frames', None))
        counts = dict(video=videos, label=self.head.num_classes, view=views,
                      frame=frames)
        texts = [f'{number} {word}{"" if number == 1 else "s"}'
                 for word, number in counts.items()]
        print(f'{texts[0]}, {texts[1]}, {texts[2]} of {texts[3]}, on '
              f'{self.place}', file=sys.stderr)

    def to_screen(self, videos: Sequence[VideoInput]) -> Failures:
        """Print results; return what failed."""
        bad: Failures = []
        for result in self._results(videos, 0):
            if 'error' in result:
                bad.append((result['video'], result['error']))
            else:
                _print_result(result)
        return bad

    def to_file(self, videos: Sequence[VideoInput]) -> Failures:
        """Write results, after those that are there already."""
        options, pictures, first = self.options, self.pictures, self.rank == 0
        topk = min(options.topk, self.head.num_classes)
        unlike: List[str] = []
        with ResultsFile(options.out, topk) as file:
            made_with = dict(self._record(), **pictures.settings())
            resumed = first and file.prepare(made_with, options.overwrite)
            barrier()
            stems, done = file.stems(), file.done()
            pictures.go_on(stems)
            left = [video for video in videos
                    if video.name not in done or not pictures.complete(video)]
            before = len(videos) - len(left)
            barrier()  # all have read before one writes
            if first:
                pictures.check(left, ours=stems)
                file.keep_stems(pictures.stems)
                if resumed:
                    print(f'{options.out}: {before} of {len(videos)} were '
                          'done before', file=sys.stderr)
            barrier()
            with file.writer(self.rank, self.world) as write:
                for result in self._results(left[self.rank::self.world],
                                            before):
                    write(result)
                    if 'warning' in result:
                        unlike.append(result['video'])
            barrier()
            if unlike:
                print(f'warning: {_few(unlike)}: {UNLIKE}', file=sys.stderr)
            bad = file.merge([v.name for v in videos]) if first else []
        if first:
            print(f'{options.out}: {len(videos) - len(bad)} of {len(videos)} '
                  'videos')
        return bad

    def _record(self) -> Dict[str, Any]:
        """Return what decides the predictions."""
        options, model, more = self.options, self.options.model, {}
        if self.any_labels:
            text = self.inferencer.classifier
            more = dict(labels=self.inferencer.class_names,
                        templates=text.templates)
            if text.descriptions:
                more['descriptions'] = [*text.descriptions.values()]
        return record(
            self.inferencer, self.views, config=model.config,
            checkpoint=model.checkpoint, inference=model.inference,
            topk=options.topk, threshold=options.threshold, **more)

    def _results(self, videos: Sequence[VideoInput],
                 before: int) -> Iterator[dict]:
        """Results of videos, drawn; ``before`` have been done already."""
        if not videos:
            return
        options, alone = self.options, self.world == 1
        work = partial(
            by_method, name='predict', num_views=self.views,
            batch_size=options.batch_size, topk=options.topk,
            threshold=options.threshold, on_error='report')
        results = numbered(work, videos, options.engine, self.inferencer,
                           options.model.device)
        with tqdm(
                total=before * alone + len(videos), initial=before * alone,
                unit='video', desc='predict' if alone else
                f'1 of {self.world} processes',
                # no bar where the results are printed
                disable=self.rank > 0 or not (
                    options.out or self.pictures.wanted)) as bar:
            for number, result in results:
                video = videos[number]
                try:
                    if 'error' not in result:
                        self.pictures.make(self.inferencer, video, result)
                except UserError as error:
                    self.not_drawn.append(video.name)
                    print(f'not drawn: {error}', file=sys.stderr)
                yield result
                bar.update()


def _videos(options: Options) -> List[VideoInput]:
    """List the videos; what a camera shows is recorded, so that what is
    recognised is what is saved."""
    inputs: list = []
    for name in options.videos:
        inputs += _names(sys.stdin, name) if name == '-' else [name]
    if options.list:
        if not os.path.exists(options.list) or os.path.isdir(options.list):
            raise ValueError(f'--list {options.list}: no such file. It has '
                             'one video a line; a folder is given without '
                             '--list')
        with open(options.list, encoding='utf-8-sig',
                  errors='surrogateescape') as file:
            inputs += _names(file, options.list)
        if not inputs:
            raise ValueError(f'--list {options.list} names no video; write '
                             'one a line')
    videos = [replace(video, **vars(options.fetching))
              for video in expand_inputs(inputs)]
    for i, video in enumerate(videos):
        if not is_camera(video.path or ''):
            continue
        if options.shared:
            raise ValueError(f'{video.name}: several processes cannot share '
                             'a camera')
        print(f'recording from {video.name}', file=sys.stderr)
        with video.opened() as videos[i]:
            pass
    return videos


def _names(lines: Iterable[str], source: str) -> Iterator[VideoInput]:
    """Take one video a line; one that is absent is reported with the others
    that cannot be read. ValueError for what is no list of names."""
    for number, line in enumerate(lines, 1):
        name = line.rstrip('\r\n').lstrip('\ufeff')
        if '\0' in name:
            raise ValueError(f'{source}, line {number}: not UTF-8 text (a '
                             'NUL); save it as UTF-8')
        if name.strip():
            name = _without_label(name)
            yield VideoInput(name, file_of(name) or name)


def _without_label(line: str) -> str:
    """Take the label off a line of MMAction2's lists, ``name label``; a file
    whose own name ends in a number keeps it."""
    behind = LABELS_BEHIND.fullmatch(line)
    if behind and behind[2].strip() and not os.path.exists(line):
        return line[:behind.start(1)]
    return line


def _few(names: Sequence[str]) -> str:
    return f'{one_line(names[0])}' + (
        f' and {len(names) - 1} more' if len(names) > 1 else '')


def _print_result(result: dict) -> None:
    """Print a result of ``ViFiCLIPInferencer.predict``, 80 columns wide."""
    print(one_line(result['video']))
    if 'warning' in result:
        print(textwrap.fill(f'warning: {result["warning"]}', _WIDTH,
                            initial_indent='  ', subsequent_indent='  '))
    if result['label'] == NONE:
        print(f'  {NONE}; the nearest:')
    code = sys.stdout.encoding or 'ascii'
    full = '#' if '█'.encode(code, 'replace') == b'?' else '█'
    for label, score in zip(result['labels'], result['scores']):
        bar = (full * round(_BAR * score)).ljust(_BAR)
        start = f'  {100 * score:5.1f}%  {bar}  '
        print(textwrap.fill(
            one_line(str(label)), _WIDTH, initial_indent=start,
            subsequent_indent=' ' * len(start)))
    sys.stdout.flush()  # someone may be waiting behind a pipe


def _print_failures(bad: Failures, total: int, out: Optional[str]) -> None:
    """Say what could not be read, and why."""
    print(f'{len(bad)} of {total} videos could not be read:', file=sys.stderr)
    for name, reason in bad[:_MOST]:
        print(textwrap.fill(
            one_line(f'{name}: {reason}'), _WIDTH, initial_indent='  ',
            subsequent_indent='    ', break_long_words=False,
            break_on_hyphens=False), file=sys.stderr)
    if len(bad) > _MOST:
        where = f', in {out}' if out else ''
        print(f'  and {len(bad) - _MOST} more{where}', file=sys.stderr)
