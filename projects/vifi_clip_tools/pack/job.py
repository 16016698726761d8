"""Pack the videos of lists into a folder, as far as that is not done."""
import os
import os.path as osp
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import (Any, ContextManager, Dict, Iterator, Mapping, Sequence,
                    Tuple)

from filelock import FileLock, Timeout
from tqdm import tqdm

from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.datasets.containers import check_file
from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.datasets.shards import size_of, source_of
from projects.vifi_clip.datasets.video_list import PACK_RECORD, find_missing
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip.files import read_json, write_bytes, write_json

from ..cli.cluster import numbered
from ..cli.outputs import check_folder
from ..cli.processes import ended_by_signals
from ..cli.threads import in_threads
from .encode import comment_of, pack_video
from .lists import LOCK, read_lists, sources_of
from .options import PackOptions
from .sample import NUM_FRAMES, read_in_turns
from .shards import move_into_shards, open_index, writing

VERSION = 1  # raise it when the same options no longer give the same files
PACKED, AGAIN, THERE = 'packed', 'packed again', 'there already'
_LONGEST = 250  # bytes of a file's name, of the 255 that systems allow
_SAMPLE = 8  # videos that are compared with their originals


def pack(options: PackOptions) -> int:
    """Pack, and report; returns 1 if a video was left out, else 0.

    Raises:
        UserError: The lists are no lists of videos in ``--root``; ``--out``
            is not ours, was made otherwise, is in use, is damaged or is full.
    """
    lists = read_lists(options.lists)
    out, root = Path(options.out), osp.abspath(options.root)
    sources = sources_of(lists, root)
    if len(find_missing(list(sources.values()))) == len(sources):
        raise UserError(f'none of the {len(sources)} videos is in {root}; set '
                        '--root to the folder that the paths are in')
    check_folder('--out', options.out)
    record = dict(version=VERSION, root=root, **asdict(options.how))
    with _alone(out), ended_by_signals():
        _check_record(out, record)
        write_json(out / PACK_RECORD, record)
        shards = open_index(out, options.shards)
        stamps = {name: stamp for name, (*_, stamp) in shards['videos'].items()
                  } if shards else {}
        left_out = _pack_all(sources, stamps, options)
        for item in lists:
            item.write(out, left_out)
        good = {name: source for name, source in sources.items()
                if name not in left_out}
        if shards:
            move_into_shards(out, list(good), shards)
        report = _compare(good, options)
        write_json(out / PACK_RECORD,
                   dict(record, **report, left_out=left_out))
    return 1 if left_out else 0


def _alone(out: Path) -> ContextManager:
    """Lock the folder, which the system unlocks when a process ends."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(out / LOCK, timeout=0).acquire()
    except Timeout:
        raise UserError(f'another process is packing into {out}; wait for '
                        'it, or choose another --out') from None


def _check_record(out: Path, record: Mapping[str, Any]) -> None:
    """Refuse a folder of other files, or of videos packed otherwise."""
    path = out / PACK_RECORD
    made = read_json(path) if path.exists() else record
    others = set(os.listdir(out)) - {LOCK}
    if not path.exists() and others:
        raise UserError(f'--out {out} holds {min(others)}, which this command '
                        'did not make; choose another folder')
    if osp.samefile(out, record['root']):
        raise UserError(f'--out {out} is the folder of the originals; choose '
                        'another')
    for name, value in record.items():
        if made.get(name) != value:
            raise UserError(f'{out} was packed with {name} {made.get(name)}, '
                            f'not {value}; choose another --out (or correct '
                            f'{path}, if the originals were moved)')


def _pack_all(sources: Mapping[str, str], stamps: Mapping[str, str],
              options: PackOptions) -> Dict[str, str]:
    """Pack what is not yet; returns why some could not be, by their names.
    Those in shards have stamps."""
    states, left_out = Counter(), {}
    with tqdm(total=len(sources), unit='video', ncols=79,
              mininterval=0.2 if sys.stderr.isatty() else 30) as bar, closing(
                  _outcomes(sources, stamps, options)) as outcomes:
        for name, outcome in outcomes:
            if isinstance(outcome, UnreadableVideo):
                left_out[name] = outcome.reason
                bar.write(f'left out: {outcome}', sys.stderr)
            else:
                states[outcome] += 1
            if outcome == AGAIN:
                bar.write(f'{sources[name]} has changed since it was packed: '
                          'packed again', sys.stderr)
            bar.update()
    states['left out'] = len(left_out)
    print(f'{options.out}: ' + ', '.join(
        f'{count} {state}' for state, count in states.items() if count))
    return left_out


def _outcomes(sources: Mapping[str, str], stamps: Mapping[str, str],
              options: PackOptions) -> Iterator[Tuple[str, Any]]:
    """Yield names and what became of them, in the order in which they end."""
    jobs = [(name, source, stamps.get(name, ''))
            for name, source in sources.items()]
    if options.engine.engine != 'local':
        for number, outcome in numbered(partial(_pack_each, options=options),
                                        jobs, options.engine):
            yield jobs[number][0], outcome
        return
    with closing(in_threads(
            lambda job: next(_pack_each([job], options)), jobs,
            options.workers or usable_cores())) as ended:
        for (name, *_), future in ended:
            yield name, future.result()


def _pack_each(jobs: Sequence[Tuple[str, str, str]], options: PackOptions
               ) -> Iterator[Any]:
    """Pack videos, by name, source and stamp of the copy in a shard; yield
    what became of each."""
    for job in jobs:
        try:
            yield _pack_one(*job, options)
        except UnreadableVideo as error:
            yield error


def _pack_one(name: str, source: str, in_shard: str, options: PackOptions
              ) -> str:
    """Pack a video unless it is there. The packed file says which state of
    the original it is made of."""
    check_file(source)
    facts, target = os.stat(source), Path(options.out, name)
    if len(os.fsencode(target.name)) > _LONGEST:
        raise UnreadableVideo(source, 'its name is too long for that of a '
                              'packed copy; shorten it, in the lists too')
    stamp = f'{facts.st_size} bytes of {facts.st_mtime_ns} ns'
    before = comment_of(str(target)) if target.is_file() else in_shard
    if before == stamp:
        return THERE
    data = pack_video(source, options.how, options.timeout, stamp)
    with writing(target):
        write_bytes(target, data)
    return AGAIN if before else PACKED


def _compare(sources: Mapping[str, str], options: PackOptions
             ) -> Dict[str, Any]:
    """Compare videos with their originals: the size of all, and a sample of
    them frame by frame; print and return it."""
    if not sources:
        return {}
    targets = {name: osp.join(options.out, name) for name in sources}
    names = list(sources)[::-(-len(sources) // _SAMPLE)]
    rows = [read_in_turns([sources[name], targets[name]], options.how.side,
                          opener=lambda path: open_video(source_of(path)))
            for name in names]
    levels = [packed.psnr for _, packed in rows]
    report = dict(
        megabytes=[round(sum(map(size_of, paths.values())) / 1e6, 3)
                   for paths in (sources, targets)],
        psnr=[round(level, 2) for level in levels],
        ms=[round(median(pair[i].ms for pair in rows), 1) for i in (0, 1)])
    print('{:.1f} MB became {:.1f} MB. '.format(*report['megabytes'])
          + f'Of a sample of {len(rows)}: PSNR {median(levels):.1f} dB '
          f'({min(levels):.1f} to {max(levels):.1f}); {NUM_FRAMES} frames are '
          'read in {1:.0f} ms, before in {0:.0f}.\n'.format(*report['ms'])
          + f'PACKED={options.out} trains and tests on them.')
    return report
