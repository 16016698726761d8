"""MSR-VTT retrieval: 9,000 training videos, 1,000 captions to test."""
import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

from projects.vifi_clip.files import read_json
from .records import (Video, check_paths, find_file, read_table, video_path,
                      wrong)

TRAIN, TEST = 'train_9k.json', 'test_JSFUSION.json'
Captions = Dict[str, List[str]]


def read_msrvtt(folder: Path,
                pattern: str) -> Tuple[Dict[str, Captions], List[Path]]:
    """Read the files of the usual 9k split; ``pattern`` is the path of a
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
            raise wrong(place, f'{video!r} has not one caption here')
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
