"""Captioned videos: every pair once, and bad lists and videos told."""
import json

import pytest
import torch
from helpers import write_mp4
from mmaction.datasets import VideoTextDataset
from mmaction.registry import DATASETS
from tiny import tiny_arch

from projects.vifi_clip.datasets.video_dataset import video_id

CAPTIONS = {
    'a.mp4': ['a man cooks', 'someone in a kitchen'],
    'sub/b.mp4': ['a dog'],
    'c d.mp4': ['two cars', 'cars', 'a race']
}
PIPELINE = [
    dict(type='VideoReader'),
    dict(type='SparseSampleViews', num_frames=2),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', arch=tiny_arch()),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'videos' / 'sub').mkdir(parents=True)
    for name in CAPTIONS:
        write_mp4(tmp_path / 'videos' / name, 6, (64, 48))
    return tmp_path


def build(folder, content=CAPTIONS, **kwargs):
    (folder / 'list.json').write_text(
        content if isinstance(content, str) else json.dumps(content))
    return DATASETS.build(dict(dict(
        type='CheckedVideoTextDataset', ann_file='list.json',
        data_root=str(folder), data_prefix=dict(video='videos'),
        pipeline=PIPELINE), **kwargs))


def test_every_pair_is_a_sample(folder):
    dataset = build(folder)
    assert isinstance(dataset, VideoTextDataset)
    pairs = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(p['filename'], p['text']) for p in pairs] == [
        (str(folder / 'videos' / name), text)
        for name, texts in CAPTIONS.items() for text in texts]
    theirs = VideoTextDataset(
        str(folder / 'list.json'), PIPELINE,
        data_prefix=dict(video=str(folder / 'videos')))
    for i, pair in enumerate(pairs):
        assert theirs.get_data_info(i).items() <= pair.items()
    samples = [dataset[i] for i in range(len(dataset))]
    # samples tell videos apart, by the same numbers in every process:
    # printf a.mp4 | sha256sum | cut -c1-16, halved
    assert video_id('a.mp4') == 8316538096228261424
    assert [int(sample['data_samples'].gt_label) for sample in samples] == [
        video_id(pair['filename']) for pair in pairs]
    inputs = samples[2]['inputs']
    assert inputs['imgs'].shape == (2, 3, 48, 64)
    assert inputs['text'].shape == (24, )
    assert not torch.equal(inputs['text'], samples[0]['inputs']['text'])


ONE = {name: texts[:1] for name, texts in CAPTIONS.items()}


@pytest.mark.parametrize('content', [
    '{"a.mp4": ["a man"],}', '{"a.mp4": ["a"], "a.mp4": ["b"]}', {},
    ['a.mp4'], {'a.mp4': 'a man'}, {'a.mp4': []}, {'a.mp4': ['a man', ' ']},
    {'a.mp4': [3]}])
def test_malformed_list(folder, content):
    with pytest.raises(ValueError, match='list.json'):
        build(folder, content)


def test_a_test_list_has_one_caption_per_video(folder):
    assert len(build(folder, ONE, test_mode=True)) == 3
    with pytest.raises(ValueError, match='a.mp4'):
        build(folder, test_mode=True)
    with pytest.raises(ValueError, match='on_bad_video'):
        build(folder, ONE, test_mode=True, on_bad_video='count_as_wrong')


@pytest.mark.parametrize('absent', [True, False])
def test_bad_video(folder, absent):
    bad = folder / 'videos' / 'a.mp4'
    bad.unlink() if absent else bad.write_bytes(b'')
    for kwargs in dict(test_mode=True), {}:
        with pytest.raises((FileNotFoundError, RuntimeError), match='a.mp4'):
            build(folder, ONE, max_bad_ratio=0.1, **kwargs)[0]
    dataset = build(folder, ONE, max_bad_ratio=0.5)
    # another pair takes its place
    assert int(dataset[0]['data_samples'].gt_label) != video_id(str(bad))
    assert dataset.bad_videos == [str(bad)]
