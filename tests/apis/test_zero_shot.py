"""The shape of Hugging Face's pipelines, around the inferencer."""
import inspect
import pickle
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from helpers import LABELS, coded_frame, write_mp4

import vifi_clip
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.errors import UserError
from vifi_clip import ViFiCLIP

TEMPLATE = 'a video of {}'


@pytest.fixture
def model(small_inferencer):
    own = small_inferencer.class_names
    yield ViFiCLIP(small_inferencer)
    small_inferencer.set_labels(own)


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clips')
    return [write_mp4(folder / f'{i}.mp4', frames=[
        coded_frame(i * 20 + t, (64, 64)) for t in range(16)])
        for i in range(3)]


def test_a_checkpoint_is_said_once(capfd):
    ViFiCLIP.from_pretrained('small_world', device='cpu')
    said = ''.join(capfd.readouterr())
    assert said.count('Loads checkpoint by') <= 1


def test_scores_of_a_pipeline(model, clips):
    first, second, _ = clips
    rows = model([second, first, second, f'{Path(first).parent}/./0.mp4'],
                 candidate_labels=LABELS, hypothesis_template=TEMPLATE)
    assert rows[0] == rows[2] and rows[1] == rows[3] and rows[0] != rows[1]
    expected, = model.inferencer.predict(first, LABELS, TEMPLATE)
    assert rows[1] == [dict(label=label, score=score) for label, score in zip(
        expected['labels'], expected['scores'])]
    assert model([first, second], LABELS, TEMPLATE, batch_size=2)[0][0][
        'score'] == pytest.approx(rows[1][0]['score'], abs=1e-5)
    assert sum(row['score'] for row in rows[1]) == pytest.approx(1)
    # one video, and a text with commas
    assert model(first, ', '.join(LABELS), TEMPLATE, top_k=2) == rows[1][:2]
    assert model(first, LABELS) != rows[1]  # the model's own sentences
    # no labels are the model's own, whatever was asked before
    assert {row['label'] for row in model(first)} == set(
        model.inferencer.cfg.model.cls_head.text_classifier.class_names)


def test_features_give_the_scores(model, clips):
    videos = model.get_video_features([*clips, clips[0]])
    texts = model.get_text_features([*LABELS, LABELS[0]], TEMPLATE, 'pt')
    assert videos.dtype == np.float32 and videos.shape[0] == 4
    assert (videos[0] == videos[3]).all() and torch.equal(texts[0], texts[3])
    for rows in torch.from_numpy(videos), texts:
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(4))
    scores = (model.logit_scale * torch.from_numpy(videos[:3])
              @ texts[:3].T).softmax(1)
    for video, row in zip(clips, scores):
        answer = model(video, LABELS, TEMPLATE)
        np.testing.assert_allclose(
            [row[LABELS.index(each['label'])] for each in answer],
            [each['score'] for each in answer], atol=1e-5)
    assert model.get_text_features('a star').shape == (1, videos.shape[1])
    assert model.get_video_features(clips[0], return_tensors='pt').shape == (
        1, videos.shape[1])


def test_frames_are_a_video(model):
    frames = np.stack([coded_frame(t, (64, 64)) for t in range(8)])
    one = model(frames, LABELS)
    assert model(list(frames), LABELS) == one
    assert model([frames, frames[::-1], frames], LABELS)[2] == one


def test_bad_arguments(model, clips):
    for wrong in (dict(candidate_labels=[]), dict(top_k=0),
                  dict(hypothesis_template='a video'),
                  dict(candidate_labels=['a', 'a'])):
        with pytest.raises(ValueError):
            model(clips[0], **wrong)
    with pytest.raises(ValueError, match='return_tensors'):
        model.get_text_features('a', return_tensors='tf')
    for videos in [], 'nowhere.mp4', str(Path(clips[0]).parent):
        with pytest.raises(UserError):
            model(videos, LABELS)


def test_a_folder_there_and_back(model, clips, tmp_path, monkeypatch):
    folder = tmp_path / 'saved' / 'model'
    model.save_pretrained(folder)
    expected = model(clips)
    assert ViFiCLIP.from_pretrained(folder, device='cpu')(clips) == expected
    # from the Hub, what huggingface_hub is asked for
    asked = {}
    monkeypatch.setattr(huggingface_hub, 'snapshot_download',
                        lambda name, **kw: asked.update(kw, name=name)
                        or str(folder))
    monkeypatch.chdir(tmp_path)
    for name in 'someone/model', 'hf://someone/model':
        again = ViFiCLIP.from_pretrained(
            name, revision='v1', device='cpu', labels=LABELS)
        assert asked == dict(name='someone/model', revision='v1')
        assert {row['label'] for row in again(clips[0])} == set(LABELS)
    # what is pushed holds the labels that it was loaded with, and weights
    # that were changed since
    with torch.no_grad():
        again.inferencer.model.cls_head.logit_scale.zero_()
    pushed = {}
    monkeypatch.setattr(
        'projects.vifi_clip.apis.zero_shot.push_folder',
        lambda folder, *args: pushed.update(
            args=args, scale=ViFiCLIP.from_pretrained(folder).logit_scale,
            classes=Path(folder, 'classes.txt').read_text()) or 'url')
    assert again.push_to_hub('me/kitchen', private=True) == 'url'
    assert pushed == dict(args=('me/kitchen', True, None), scale=1.,
                          classes='\n'.join(LABELS) + '\n')


def test_names_of_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in 'small-world', './a/b', '/no/where', 'someone/no-model':
        with pytest.raises(FileNotFoundError, match=name) as caught:
            ViFiCLIP.from_pretrained(name)
        if '/' not in name:
            for words in "'small_world'", 'ORGANISATION/NAME':
                assert words in str(caught.value)


def test_the_door():
    for name in vifi_clip.__all__:
        assert hasattr(vifi_clip, name)
    assert vifi_clip.ViFiCLIPInferencer is ViFiCLIPInferencer
    assert pickle.loads(pickle.dumps(vifi_clip.UserError)) is UserError
    assert 'candidate_labels' in inspect.signature(
        ViFiCLIP.__call__).parameters
    assert Path(vifi_clip.__file__).with_name('py.typed').is_file()
