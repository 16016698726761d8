"""MSR-VTT retrieval: 9,000 training videos, 1,000 captions to test."""
import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json
from .records import (Video, check_paths, find_file, read_table, video_path)

TRAIN, TEST = 'train_9k.json', 'test_JSFUSION.json'
Captions = Dict[str, List[str]]


def read_msrvtt(folder: Path,
                pattern: str) -> Tuple[Dict[str, Captions], List[Path]]:
    """Read the files of the usual 9k split.

    Args:
        folder (Path): Folder of ``MSRVTT_train.9k.csv``,
            ``MSRVTT_JSFUSION_test.csv`` and ``MSRVTT_data.json``.
        pattern (str): Path of a video; its name is ``videoN.mp4``.

    Returns:
        tuple: Captions by video, by list; and the files read.
    """
    train_csv = find_file(folder, ['MSRVTT_train.9k.csv'], 'training list')
    test_csv = find_file(folder, ['MSRVTT_JSFUSION_test.csv'], 'test list')
    data = find_file(folder, ['MSRVTT_data.json'], 'caption file')
    test = _read_test(test_csv)
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
        raise UserError(f'{place}: video_id is {video!r}, not "video" and a '
                        'number; get the official file')
    return video


def _read_test(path: Path) -> Captions:
    columns = ('key', 'vid_key', 'video_id', 'sentence')
    captions: Captions = {}
    for place, row in read_table(path, columns):
        video = _checked(row['video_id'], place)
        if video in captions:
            raise UserError(f'{place}: {video!r} has a caption already; the '
                            'test list has one caption for each video')
        if not row['sentence']:
            raise UserError(f'{place}: {video!r} has an empty caption; get '
                            'the official file')
        captions[video] = [row['sentence']]
    return captions


def _read_train(path: Path, test: Captions, data: Path) -> Captions:
    content = read_json(data)
    sentences = (content.get('sentences') if isinstance(content, dict)
                 else None)
    if not isinstance(sentences, list) or not sentences:
        raise UserError(f'{data}: no list "sentences"; get the official file')
    captions: Dict[str, List[Tuple[int, str]]] = {}
    for i, item in enumerate(sentences):
        place = f'{data}, sentence {i}'
        fields = item if isinstance(item, dict) else {}
        text, number = fields.get('caption'), fields.get('sen_id', i)
        if not isinstance(text, str) or not isinstance(number, int):
            raise UserError(f'{place}: {str(item)[:80]!r} needs "caption" '
                            '(text) and "sen_id" (a number)')
        video = _checked(fields.get('video_id'), place)
        captions.setdefault(video, []).append((number, text.strip()))
    train: Captions = {}
    for place, row in read_table(path, ('video_id', )):
        video = _checked(row['video_id'], place)
        if video in train:
            raise UserError(f'{place}: {video!r} stands there twice; take '
                            'one line out')
        if video in test:
            raise UserError(f'{place}: {video!r} is in the test list too; '
                            'give the training list of the 9k split')
        if video not in captions:
            raise UserError(f'{place}: {video!r} has no caption in '
                            f'{data.name}; get the official files')
        for number, text in captions[video]:
            if not text:
                raise UserError(f'{data}: sentence {number} of {video!r} is '
                                'empty; get the official file')
        train[video] = [text for _, text in sorted(captions[video])]
    return train
