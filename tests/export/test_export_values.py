"""What exported files compute, against the model."""
import os.path as osp

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from export_world import open_once
from tiny import build_model, classifier_cfg, tiny_arch

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.export.checking import Check, check_file
from projects.vifi_clip_tools.export.formats import read_metadata, write_part
from projects.vifi_clip_tools.export.int8 import quantize_file
from projects.vifi_clip_tools.export.modules import (Classifier, TextEncoder,
                                                     VideoEncoder, build_parts)

FORMATS = pytest.mark.parametrize('exported', ['onnx', 'torch-export'],
                                  indirect=True)
SIZES = pytest.mark.parametrize('batch, frames', [
    (batch, frames) for batch in (1, 2, 5) for frames in (1, 3, 8)])


def clips(batch, frames):
    draw = np.random.default_rng(batch * 100 + frames)
    return draw.integers(0, 256, (batch, frames, 32, 32, 3), np.uint8)


def embed(infer, x):
    """Each clip on its own, and the pixels by hand."""
    statistics = infer.model.data_preprocessor
    mean, std = (v.flatten().numpy() for v in (statistics.mean,
                                               statistics.std))
    found = []
    for clip in x:
        pixels = torch.from_numpy((clip - mean) / std).float()
        with torch.no_grad():
            frames = infer.model.backbone(pixels.permute(0, 3, 1, 2))
        if infer.model.cls_head.fusion == 'decision':
            found.append(F.normalize(frames, dim=-1).mean(0))
        else:
            found.append(F.normalize(frames.mean(0), dim=-1))
    return torch.stack(found).numpy()


@FORMATS
@SIZES
def test_clips_of_any_number_and_length(exported, batch, frames):
    infer, files, ending = exported
    x = clips(batch, frames)
    found = open_once(osp.join(files.folder, 'video_encoder' + ending))(x)
    expected = embed(infer, x)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    head = infer.model.cls_head
    lengths = np.linalg.norm(found, axis=1)
    if head.fusion == 'embedding':
        np.testing.assert_allclose(lengths, 1, atol=1e-5)
    elif frames > 1:  # not normalised again
        assert (lengths < 0.9999).all()

    found = open_once(osp.join(files.folder, 'classifier' + ending))(x)
    with torch.no_grad():
        classes = head.text_classifier().numpy()
        scale = head.logit_scale.exp().item()
    logits = scale * expected @ classes.T
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found, scores, atol=1e-4)
    # A test that any softmax of four would pass says nothing.
    assert found.max(1).min() > 0.3


@FORMATS
def test_sentences_of_classes(exported):
    infer, files, ending = exported
    run = open_once(osp.join(files.folder, 'text_encoder' + ending))
    classifier = infer.model.cls_head.text_classifier
    per_class = len(classifier.templates)
    tokens = classifier.tokens.numpy()
    with torch.no_grad():
        expected = classifier().numpy()
    num_sentences, length = tokens.shape
    found = run(tokens).reshape(-1, per_class, 32).mean(1)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert abs(expected[0] - expected[1]).max() > 0.01
    # padded to the context, and one by one
    padded = np.pad(tokens, ((0, 0), (0, 24 - length)))
    np.testing.assert_allclose(run(padded), run(tokens), atol=1e-5)
    for i in range(num_sentences):
        np.testing.assert_allclose(
            run(tokens[i:i + 1]), run(tokens)[i:i + 1], atol=1e-5)


def test_a_text_tower_that_reads_the_padding():
    head = dict(text_classifier=classifier_cfg(arch=tiny_arch(
        text_cfg=dict(pool_type='last', no_causal_mask=True))))
    model = build_model(head=head).eval()
    encoder = TextEncoder(model)
    classifier = model.cls_head.text_classifier
    assert list(encoder.dynamic()) == [0]  # no sentence may be cut
    with torch.no_grad():
        np.testing.assert_allclose(
            encoder(classifier.tokens), classifier(), atol=1e-5)


def test_both_kinds_of_input(by_frame):
    model = by_frame.model
    x = torch.from_numpy(clips(2, 3))
    data = model.data_preprocessor(dict(
        inputs=[clip.permute(0, 3, 1, 2) for clip in x],
        data_samples=[None] * 2))
    for part in VideoEncoder, Classifier:
        with torch.no_grad():
            whole = part(model, 'uint8')(x)
            normalised = part(model, 'float')(data['inputs'])
        np.testing.assert_allclose(whole, normalised, atol=1e-6)


def test_pixels_without_statistics_and_in_another_order():
    x = torch.from_numpy(clips(1, 2))
    for statistics in (dict(mean=None, std=None),
                       dict(mean=[1., 2., 3.], std=[9., 8., 7.],
                            to_rgb=True)):
        model = build_model(data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCHW',
            **statistics)).eval()
        data = model.data_preprocessor(dict(
            inputs=[x[0].permute(0, 3, 1, 2)], data_samples=[None]))
        with torch.no_grad():
            expected = model.backbone(data['inputs'][0].float()).mean(0)
            found = VideoEncoder(model)(x)[0]
        np.testing.assert_allclose(found, F.normalize(expected, dim=0),
                                   atol=1e-5)


@FORMATS
def test_a_file_says_what_it_is(exported):
    infer, files, ending = exported
    meta = read_metadata(osp.join(files.folder, 'classifier' + ending))
    assert meta['class_names'] == infer.class_names
    assert meta['image_size'] == [32, 32] and meta['num_frames'] == 3
    assert meta['pixel_mean'] == [120, 110, 100]
    assert meta['pixel_std'] == [60, 50, 55]
    assert meta['resize_short_side'] == 40
    assert meta['text']['templates'] == infer.classifier.templates
    assert meta['text']['context_length'] == 24
    assert meta['fusion'] == infer.model.cls_head.fusion
    assert len(meta['weights_sha256']) == 64
    assert meta['versions']['torch'] == torch.__version__
    video = read_metadata(osp.join(files.folder, 'video_encoder' + ending))
    assert 'class_names' not in video and video['part'] == 'video'


def test_learnt_prompts_have_words_before_them(onnx_files, pt2_files):
    for files, name, words in ((onnx_files, 'text_encoder.onnx', 'X X X '),
                               (pt2_files, 'text_encoder.pt2', '')):
        meta = read_metadata(osp.join(files.folder, name))
        assert meta['text']['context_words'] == words


def test_int8_copies(onnx_files, prompted):
    # Two layers of 4 products; the last one's queries are a fifth. What is
    # behind the last norm stays as it is.
    assert onnx_files.products == {
        'video_encoder_int8.onnx': dict(quantised=9, left=1),
        'text_encoder_int8.onnx': dict(quantised=9, left=1),
        'classifier_int8.onnx': dict(quantised=9, left=2)}
    x = clips(2, 3)
    plain, small = (osp.join(onnx_files.folder, f'video_encoder{kind}.onnx')
                    for kind in ('', '_int8'))
    difference = abs(open_once(small)(x) - open_once(plain)(x)).max()
    assert 1e-5 < difference < 0.03
    assert osp.getsize(small) < 0.5 * osp.getsize(plain)
    assert read_metadata(small) == read_metadata(plain)
    onnx.checker.check_model(plain, full_check=True)


def test_no_number_is_no_agreement(prompted):
    assert not Check('a', 1, 1, float('nan')).passed
    assert not Check('a', 1, 1, 1.1e-4).passed
    assert Check('a', 1, 1, 0.9e-4).passed
    module = VideoEncoder(prompted.model)
    for wrong in (lambda x: np.full((1, 32), np.nan, np.float32),
                  lambda x: np.zeros((1, 31), np.float32)):
        check, = check_file('a', wrong, prompted.model, module, [(1, 2)])
        assert not check.passed


class Undecided(torch.nn.Module):
    """A tower that looks at its values."""

    def forward(self, x):
        return x.flatten(1)[:, :32] * (1 if x.sum().item() > 0 else 2)


@pytest.mark.parametrize('form, name', [('onnx', 'a.onnx'),
                                        ('torch-export', 'a.pt2')])
def test_a_tower_that_cannot_be_traced(tmp_path, form, name):
    module = VideoEncoder(build_model().eval())
    size = module.backbone.visual.image_size
    module.backbone.visual = Undecided()
    module.backbone.visual.image_size = size
    with pytest.raises(UserError) as error:
        write_part(module, str(tmp_path / name), form, {})
    said = str(error.value)
    assert f'{name}: this model cannot be exported as {form}' in said
    assert 'data-dependent' in said and '\n' not in said


def test_a_model_without_these_parts():
    model = build_model()
    model.backbone = torch.nn.Identity()
    with pytest.raises(UserError, match='Identity where CLIPVisionBackbone'):
        build_parts(model, ['video'], 'uint8')


class TimmLike(VideoEncoder):
    """A tower's end as timm has it: behind the norm a product with a bias,
    for which the quantiser has another name than the file."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(5, 6), torch.nn.LayerNorm(6),
            torch.nn.Linear(6, 7))

    def forward(self, x):
        return self.layers(x)

    def example(self, batch, num_frames):
        return torch.randn(batch, 5)

    def dynamic(self):
        return {0: torch.export.Dim('batch')}


def test_the_last_product_keeps_its_numbers(tmp_path):
    module = TimmLike()
    plain, small = str(tmp_path / 'a.onnx'), str(tmp_path / 'b.onnx')
    write_part(module, plain, 'onnx', {})
    assert quantize_file(plain, small) == dict(quantised=1, left=1)
    kept = {tuple(value.dims): onnx.numpy_helper.to_array(value)
            for value in onnx.load(small).graph.initializer
            if value.data_type == onnx.TensorProto.FLOAT}
    last = module.layers[-1].weight.detach().numpy()
    assert any(np.array_equal(kept.get(w.shape), w) for w in (last, last.T))
