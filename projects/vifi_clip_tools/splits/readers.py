"""Readers of annotations: the official ones, and those of a user's own videos.

Each of a recognition data set takes the folder of the files, the classes and,
for Kinetics, the parts to read. A video's path is the name of its file until
:meth:`Annotations.fill_paths` fills a pattern.
"""
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Optional, Sequence, Tuple

from projects.vifi_clip.datasets.class_list import (check_class_names,
                                                    check_one_class,
                                                    clean_class_name,
                                                    read_class_list)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json
from .classes import ClassIndex, misnamed
from .protocols import draw
from .records import (Annotations, Video, check_path, check_paths,
                      check_unique, find_file, read_lines, read_table,
                      video_path, wrong)

_KINETICS_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end', 'split')
_KINETICS_FILES = {
    'train': ('train.csv', '*train.csv'),
    'val': ('val*.csv', '*val.csv', '*validate.csv', '*validation.csv'),
    'test': ('test.csv', '*test.csv')}
_SSV2_FILES = {part: (f'{name}.json', f'*-{name}.json') for part, name in (
    ('labels', 'labels'), ('train', 'train'), ('val', 'validation'))}
TRAIN, TEST = 'train_9k.json', 'test_JSFUSION.json'
Captions = Dict[str, List[str]]


def read_kinetics(folder: Path, index: ClassIndex,
                  parts: Sequence[str]) -> Annotations:
    """Read Kinetics-400 or -600: ``train.csv``, ``val.csv``
    (``validate.csv``), ``test.csv``, a clip of a YouTube video a row; names
    may have a prefix. A video's file is ``ID_SSSSSS_EEEEEE.mp4`` with start
    and end in seconds."""
    sources = [find_file(folder, _KINETICS_FILES[part],
                         f'CSV file of the {part} part') for part in parts]
    fold: Dict[str, List[Video]] = {part: [] for part in parts}
    for part, path in zip(parts, sources):
        words = {'val': ('val', 'validate', 'validation')}.get(part, (part, ))
        for place, row in read_table(path, _KINETICS_COLUMNS, ('is_cc', )):
            label = index.label(row['label'], place)
            youtube = row['youtube_id']
            if row['split'] not in words:
                raise wrong(place, f'split is {row["split"]!r} in a file that '
                            f'is named as the {part} part')
            # Some copies of the files write whole seconds as '12.0'.
            start, end = (row[column].removesuffix('.0')
                          for column in ('time_start', 'time_end'))
            if not (re.fullmatch('[0-9]+ [0-9]+', f'{start} {end}')
                    and int(start) <= int(end)):
                raise wrong(place, f'time_start {start!r} and time_end '
                            f'{end!r} are not whole seconds in order')
            if not re.fullmatch('[A-Za-z0-9_-]+', youtube):
                raise wrong(place, f'youtube_id is {youtube!r}, not letters, '
                            'digits, - and _ (a spreadsheet may have changed '
                            'it)')
            name = f'{youtube}_{int(start):06d}_{int(end):06d}.mp4'
            fold[part].append(Video(name, name, label, place))
    return Annotations(index.names, {'': fold}, sources)


def read_hmdb51(folder: Path, index: ClassIndex,
                parts: Sequence[str]) -> Annotations:
    """Read HMDB-51: 153 files ``CLASS_test_splitN.txt`` with a line
    ``video.avi N`` for each video, N 0 (unused), 1 (train) or 2 (test)."""
    folder = _below(folder, 'testTrainMulti_7030_splits')
    for path in sorted(folder.glob('*_test_split*.txt')):
        index.label(path.name.rpartition('_test_split')[0], str(path))
    folds: Dict[str, Dict[str, List[Video]]] = {}
    sources = []
    for split in 1, 2, 3:
        fold = folds[f'_split{split}'] = {'train': [], 'val': []}
        for label, name in enumerate(index.names):
            slug = name.replace(' ', '_')
            path = folder / f'{slug}_test_split{split}.txt'
            sources.append(path)
            videos: Dict[str, List[Video]] = {'0': [], '1': [], '2': []}
            for place, line in read_lines(path):
                # Names hold neither spaces nor tabs, but + and brackets.
                file, _, use = line.rpartition(' ')
                file = file.strip()
                if use not in videos or not file:
                    raise wrong(place, f'{line!r} is not "video.avi N" with N '
                                '0 (unused), 1 (train) or 2 (test)')
                videos[use].append(Video(f'{slug}/{file}', file, label,
                                         place))
            misnamed(videos['1'] + videos['2'], 'hmdb51', index)
            fold['train'] += videos['1']
            fold['val'] += videos['2']
    return Annotations(index.names, folds, sources)


def read_ucf101(folder: Path, index: ClassIndex,
                parts: Sequence[str]) -> Annotations:
    """Read UCF-101: ``classInd.txt``, ``trainlist0N.txt`` with a line
    ``Class/video.avi number`` for each video, ``testlist0N.txt`` without the
    number."""
    folder = _below(folder, 'ucfTrainTestlist')
    sources = [find_file(folder, ['classInd.txt'], 'class index')]
    lines = read_lines(sources[0])
    for number, (place, line) in enumerate(lines, start=1):
        name = line.partition(' ')[2].strip()
        if line.partition(' ')[0] != str(number) or index.label(
                name, place) != number - 1:
            raise wrong(place, f'{line!r} is not class {number}')
    if len(lines) != len(index.names):
        raise wrong(sources[0], f'{len(lines)} classes, not '
                    f'{len(index.names)}')
    folds: Dict[str, Dict[str, List[Video]]] = {}
    for split in 1, 2, 3:
        fold = folds[f'_split{split}'] = {}
        for part, word in ('train', 'train'), ('val', 'test'):
            path = find_file(folder, [f'{word}list0{split}.txt'],
                             f'{word} list')
            sources.append(path)
            fold[part] = _ucf101_part(path, part, index)
    return Annotations(index.names, folds, sources)


def _ucf101_part(path: Path, part: str, index: ClassIndex) -> List[Video]:
    videos = []
    for place, line in read_lines(path):
        name, _, number = line.partition(' ')
        folder, _, file = name.partition('/')
        if not file or bool(number) != (part == 'train'):
            raise wrong(place, f'{line!r} is not "Class/video.avi'
                        f'{" number" * (part == "train")}", as the lines of '
                        f'a {part} list are')
        label = index.label(folder, place)
        if number and number != str(label + 1):
            raise wrong(place, f'class number {number!r}, but {folder} is '
                        f'number {label + 1}')
        videos.append(Video(name, file, label, place))
    misnamed(videos, 'ucf101', index)
    return videos


def read_ssv2(folder: Path, index: ClassIndex,
              parts: Sequence[str]) -> Annotations:
    """Read Something-Something V2: ``labels.json``, ``train.json`` and
    ``validation.json``, also under the older names
    ``something-something-v2-*.json``. Classes are templates without
    brackets; a video's file is ``ID.webm``."""
    paths = {part: find_file(folder, names, f'JSON file of {part}')
             for part, names in _SSV2_FILES.items()}
    labels = read_json(paths['labels'])
    if not isinstance(labels, dict) or len(labels) != len(index.names):
        raise wrong(paths['labels'], f'no mapping of {len(index.names)} '
                    'templates to numbers')
    for template, number in labels.items():
        label = index.label(_class_of(template), str(paths['labels']))
        if str(number) != str(label):
            raise wrong(paths['labels'], f'{template!r} has number '
                        f'{number!r}, not {label}')
    fold: Dict[str, List[Video]] = {'train': [], 'val': []}
    for part, videos in fold.items():
        items = read_json(paths[part])
        if not isinstance(items, list):
            raise wrong(paths[part], 'no list of videos')
        for i, item in enumerate(items):
            place = f'{paths[part]}, item {i}'
            fields = item if isinstance(item, dict) else {}
            number, template = fields.get('id'), fields.get('template')
            if not (isinstance(template, str)
                    and str(number or '').isdigit()):
                raise wrong(place, f'{str(item)[:80]!r} has no "id" (digits) '
                            'and "template" (the test list has none)')
            name, label = f'{number}.webm', index.label(
                _class_of(template), place)
            videos.append(Video(name, name, label, place))
    return Annotations(index.names, {'': fold}, list(paths.values()))


def _class_of(template: str) -> str:
    return re.sub(r'[\[\]]', '', template).strip()


def _below(folder: Path, name: str) -> Path:
    """Return the folder of an archive, or the one it was unpacked in."""
    return folder / name if (folder / name).is_dir() else folder


READERS = {'k400': read_kinetics, 'k600': read_kinetics,
           'hmdb51': read_hmdb51, 'ucf101': read_ucf101, 'ssv2': read_ssv2}


def read_msrvtt(folder: Path,
                pattern: str) -> Tuple[Dict[str, Captions], List[Path]]:
    """Read the files of MSR-VTT's usual 9k split; ``pattern`` is the path of a
    video, whose name is ``videoN.mp4``. Returns captions by video, by list;
    and the files read."""
    train_csv = find_file(folder, ['MSRVTT_train.9k.csv'], 'training list')
    test_csv = find_file(folder, ['MSRVTT_JSFUSION_test.csv'], 'test list')
    data = find_file(folder, ['MSRVTT_data.json'], 'caption file')
    test: Captions = {}
    for place, row in read_table(test_csv, ('key', 'vid_key', 'video_id',
                                            'sentence')):
        video = _checked(row['video_id'], place)
        if video in test or not row['sentence']:
            raise wrong(place, f'{video!r} does not have one caption here')
        test[video] = [row['sentence']]
    train = _read_train(train_csv, test, data)
    lists: Dict[str, Captions] = {}
    videos = []
    for name, split, captions in (TRAIN, 'train', train), (TEST, 'test', test):
        lists[name] = {}
        for video in sorted(captions, key=lambda video: int(video[5:])):
            path = video_path(pattern, f'{video}.mp4', split, '')
            videos.append(Video(video, path, 0, f'{folder} ({split})'))
            lists[name][path] = captions[video]
    check_paths(videos)
    return lists, [train_csv, test_csv, data]


def _checked(video: Any, place: str) -> str:
    if not re.fullmatch('video[0-9]+', str(video)):
        raise wrong(place, f'video_id is {video!r}, not "video" and a number')
    return video


def _read_train(path: Path, test: Captions, data: Path) -> Captions:
    content = read_json(data)
    sentences = (content.get('sentences') if isinstance(content, dict)
                 else None)
    if not isinstance(sentences, list) or not sentences:
        raise wrong(data, 'no list "sentences"')
    captions: Dict[str, List[Tuple[int, str]]] = {}
    for i, item in enumerate(sentences):
        place = f'{data}, sentence {i}'
        fields = item if isinstance(item, dict) else {}
        text, number = fields.get('caption'), fields.get('sen_id', i)
        if not isinstance(text, str) or not isinstance(number, int):
            raise wrong(place, f'{str(item)[:80]!r} needs "caption" (text) '
                        'and "sen_id" (a number)')
        video = _checked(fields.get('video_id'), place)
        captions.setdefault(video, []).append((number, text.strip()))
    train: Captions = {}
    for place, row in read_table(path, ('video_id', )):
        video = _checked(row['video_id'], place)
        if video in train or video in test:
            raise wrong(place, f'{video!r} is in the '
                        f'{"test" if video in test else "training"} list '
                        'already')
        if video not in captions:
            raise wrong(place, f'{video!r} has no caption in {data.name}')
        for number, text in captions[video]:
            if not text:
                raise wrong(data, f'sentence {number} of {video!r} is empty')
        train[video] = [text for _, text in sorted(captions[video])]
    return train


def read_own(path: Path, classes: Optional[Path],
             val_ratio: float) -> Annotations:
    """Read a CSV file with the columns path, label (class name) and, if
    wanted, split (train or val); without it ``val_ratio`` is the share of
    each class that goes to val, at least one video. The label order is that
    of the class list ``classes``, or of the names, sorted."""
    rows = list(read_table(path, ('path', 'label'), ('split', )))
    index = _own_classes(path, classes, rows)
    videos = []
    for place, row in rows:
        # './a.mp4' and 'a.mp4' are one video.
        name = str(PurePosixPath(row['path']))
        check_path(name, place)
        videos.append(Video(name, name, index.label(row['label'], place),
                            place))
    if 'split' not in rows[0][1]:
        parts = _split(videos, index, val_ratio, path)
    else:
        parts = {'train': [], 'val': []}
        for video, (place, row) in zip(videos, rows):
            if row['split'] not in parts:
                raise UserError(f'{place}: split is {row["split"]!r}; write '
                                'train or val, or leave the column out')
            parts[row['split']].append(video)
    sources = [path] + ([classes] if classes else [])
    return Annotations(index.names, {'': parts}, sources)


def _own_classes(path: Path, classes: Optional[Path],
                 rows: Sequence[Tuple[str, Dict[str, str]]]) -> ClassIndex:
    """The classes of rows, or of the list ``classes``."""
    for place, row in rows:
        check_one_class(row['label'], place)
    if classes:
        return ClassIndex(read_class_list(classes), str(classes))
    names = {clean_class_name(row['label'], place) for place, row in rows}
    for place, row in rows:
        parts = set(map(str.strip, row['label'].split(',')))
        if 1 < len(parts) and parts <= names:
            raise UserError(f'{place}: {row["label"]!r} are several of the '
                            'other labels; multi-label lists are not '
                            'supported')
    # 10 after 9, where numbers stand in place of names
    order = int if all(map(str.isdecimal, names)) else str
    return ClassIndex(check_class_names(sorted(names, key=order), str(path)),
                      str(path))


def _split(videos: List[Video], index: ClassIndex, val_ratio: float,
           path: Path) -> Dict[str, List[Video]]:
    check_unique(videos, 'the file', {})
    by_label: Dict[int, List[Video]] = defaultdict(list)
    for video in videos:
        by_label[video.label].append(video)
    parts: Dict[str, List[Video]] = {'train': [], 'val': []}
    for label, members in sorted(by_label.items()):
        if len(members) < 2:
            raise UserError(
                f'{members[0].place}: class {index.names[label]!r} has one '
                f'video in {path.name}; a split into train and val needs '
                'two, or a column "split" that says where it goes')
        count = min(max(1, round(val_ratio * len(members))), len(members) - 1)
        # Not a seed that K-shot draws use: which videos are held out should
        # not tell which are drawn.
        held_out = set(draw([(v.key, v) for v in members], count, seed=-1))
        for video in members:
            parts['val' if video in held_out else 'train'].append(video)
    return parts
