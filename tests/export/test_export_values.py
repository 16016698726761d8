"""What exported files compute, against the model."""
import json
import os.path as osp

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from tiny import build_model, classifier_cfg, tiny_arch

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.export.checking import check_file
from projects.vifi_clip_tools.export.formats import (METADATA_FILE, open_file,
                                                     write_part)
from projects.vifi_clip_tools.export.int8 import quantize_file
from projects.vifi_clip_tools.export.modules import (Classifier, TextEncoder,
                                                     VideoEncoder, build_parts)

MEAN, STD = np.array([120, 110, 100]), np.array([60, 50, 55])
WORLDS = pytest.mark.parametrize('world', [
    pytest.param('onnx', marks=pytest.mark.slow), 'torch-export'],
    indirect=True)


def read_metadata(path):
    """What an exported file says about itself."""
    if path.endswith('.pt2'):
        extra = {METADATA_FILE: ''}
        torch.export.load(path, extra_files=extra)
        return json.loads(extra[METADATA_FILE])
    return {entry.key: json.loads(entry.value)
            for entry in onnx.load(path).metadata_props}


def clips(batch, frames):
    draw = np.random.default_rng(batch * 100 + frames)
    return draw.integers(0, 256, (batch, frames, 32, 32, 3), np.uint8)


def embed(infer, x):
    """Each clip on its own, and the pixels by hand."""
    rows = []
    for clip in x:
        pixels = torch.from_numpy((clip - MEAN) / STD).float()
        with torch.no_grad():
            frames = infer.model.backbone(pixels.permute(0, 3, 1, 2))
        rows.append(F.normalize(frames, dim=-1).mean(0)
                    if infer.model.cls_head.fusion == 'decision' else
                    F.normalize(frames.mean(0), dim=-1))
    return torch.stack(rows).numpy()


@WORLDS
@pytest.mark.parametrize('batch, frames', [(1, 8), (2, 3), (5, 1)])
def test_clips_of_any_number_and_length(world, batch, frames):
    head, x = world.infer.model.cls_head, clips(batch, frames)
    embeddings = world.file('video')(x)
    expected = embed(world.infer, x)
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)
    lengths = np.linalg.norm(embeddings, axis=1)
    if head.fusion == 'embedding':
        np.testing.assert_allclose(lengths, 1, atol=1e-5)
    elif frames > 1:  # not normalised again
        assert (lengths < 0.9999).all()

    scores = world.file('classifier')(x)
    with torch.no_grad():
        classes = head.text_classifier().numpy()
        scale = head.logit_scale.exp().item()
    logits = np.exp(scale * expected @ classes.T)
    np.testing.assert_allclose(scores, logits / logits.sum(1, keepdims=True),
                               atol=1e-4)
    # A test that any softmax of four would pass says nothing.
    assert scores.max(1).min() > 0.3


@WORLDS
def test_sentences_of_classes(world):
    run = world.file('text')
    classifier = world.infer.classifier
    tokens = classifier.tokens.numpy()
    with torch.no_grad():
        expected = classifier().numpy()
    classes = run(tokens).reshape(-1, len(classifier.templates), 32).mean(1)
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    np.testing.assert_allclose(classes, expected, atol=1e-4)
    assert abs(expected[0] - expected[1]).max() > 0.01
    # padded to the context, and alone
    padded = np.pad(tokens, ((0, 0), (0, 24 - tokens.shape[1])))
    np.testing.assert_allclose(run(padded), run(tokens), atol=1e-5)
    np.testing.assert_allclose(run(tokens[:1]), run(tokens)[:1], atol=1e-5)


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


@pytest.mark.parametrize('statistics', [
    dict(mean=None, std=None),
    dict(mean=[120., 110., 100.], std=[60., 50., 55.]),
    dict(mean=[1., 2., 3.], std=[9., 8., 7.], to_rgb=True)])
def test_pixels_are_those_of_the_preprocessor(statistics):
    x = torch.from_numpy(clips(2, 3))
    model = build_model(data_preprocessor=dict(
        type='ActionDataPreprocessor', format_shape='NCHW',
        **statistics)).eval()
    data = model.data_preprocessor(dict(
        inputs=[clip.permute(0, 3, 1, 2) for clip in x],
        data_samples=[None] * 2))['inputs'].float()
    with torch.no_grad():
        expected = F.normalize(
            model.backbone(data.flatten(0, 1)).view(2, 3, -1).mean(1), dim=-1)
        np.testing.assert_allclose(VideoEncoder(model)(x), expected,
                                   atol=1e-5)
        np.testing.assert_allclose(Classifier(model)(x),
                                   Classifier(model, 'float')(data),
                                   atol=1e-6)


@WORLDS
def test_a_file_says_what_it_is(world):
    meta = read_metadata(world.path('classifier'))
    assert dict(
        class_names=world.infer.class_names, image_size=[32, 32],
        num_frames=3, pixel_mean=MEAN.tolist(), pixel_std=STD.tolist(),
        resize_short_side=40, fusion=world.infer.model.cls_head.fusion
    ).items() <= meta.items()
    assert dict(
        templates=world.infer.classifier.templates, context_length=24,
        # Learnt prompts have words in their place.
        context_words='X X X ' if world.options.int8 else ''
    ).items() <= meta['text'].items()
    assert len(meta['weights_sha256']) == 64
    video = read_metadata(world.path('video'))
    assert 'class_names' not in video and video['part'] == 'video'


@pytest.mark.slow
def test_int8_copies(onnx_files):
    # Two layers of 4 products; the last one's queries are a fifth. What is
    # behind the last norm stays as it is.
    assert onnx_files.result.products == {
        'video_encoder_int8.onnx': dict(quantised=9, left=1),
        'text_encoder_int8.onnx': dict(quantised=9, left=1),
        'classifier_int8.onnx': dict(quantised=9, left=2)}
    plain, small = (onnx_files.path('video', int8) for int8 in (False, True))
    assert osp.getsize(small) < 0.5 * osp.getsize(plain)
    assert read_metadata(small) == read_metadata(plain)
    onnx.checker.check_model(plain, full_check=True)
    lengths = np.linalg.norm(
        onnx_files.file('video', True)(clips(2, 3)), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


class Layers(torch.nn.Sequential):
    """Something else to export, with rows of numbers as its input."""
    input_name, output_name = 'x', 'y'

    def example(self, batch, length):
        return torch.randn(batch, self[0].in_features)

    def dynamic(self):
        return {0: torch.export.Dim('batch')}


def test_int8_is_off_by_no_more_than_its_steps(tmp_path):
    module = Layers(torch.nn.Linear(8, 6), torch.nn.Linear(6, 7)).eval()
    with torch.no_grad():
        # x86 without VNNI adds pairs of products in 16 bits, which hold one
        # product and not always two.
        module[0].weight[:, 1::2] = 0
    plain, small = str(tmp_path / 'a.onnx'), str(tmp_path / 'b.onnx')
    write_part(module, plain, 'onnx', {})
    assert quantize_file(plain, small) == dict(quantised=1, left=1)
    x = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    difference = abs(open_file(small)(x) - open_file(plain)(x))
    first, last = (layer.weight.detach().numpy() for layer in module)
    # A weight is rounded to the next of 127 steps of its row; an input to the
    # next of 255 steps from the smallest to the largest, whose zero point is
    # rounded too.
    weight_step = abs(first).max(1) / 127
    input_step = (x.max() - x.min()) / 255
    bound = (abs(x).sum(1)[:, None] * weight_step / 2
             + (abs(first) + weight_step[:, None] / 2).sum(1) * input_step)
    assert (difference <= bound @ abs(last).T + 1e-5).all()
    assert difference.max() > 1e-5
    # The last product, for which the quantiser has another name than the
    # file, keeps its numbers.
    kept = {tuple(value.dims): onnx.numpy_helper.to_array(value)
            for value in onnx.load(small).graph.initializer
            if value.data_type == onnx.TensorProto.FLOAT}
    assert any(np.array_equal(kept.get(w.shape), w) for w in (last, last.T))


@pytest.mark.parametrize('change, passed', [
    (lambda y: y + np.float32(0.9e-4), True),
    (lambda y: y + np.float32(1.1e-4), False),
    (lambda y: y * np.nan, False), (lambda y: y[:, :31], False)])
def test_no_number_is_no_agreement(change, passed):
    model = build_model().eval()
    encoder = VideoEncoder(model)
    check, = check_file(
        'a', lambda x: change(encoder(torch.from_numpy(x)).detach().numpy()),
        model, encoder, [(1, 2)])
    assert check.passed == passed


class Undecided(torch.nn.Module):
    """A tower that looks at its values."""
    image_size = 32

    def forward(self, x):
        return x.flatten(1)[:, :32] * (1 if x.sum().item() > 0 else 2)


def test_models_that_cannot_be_exported(tmp_path):
    model = build_model().eval()
    module = VideoEncoder(model)
    module.backbone.visual = Undecided()
    for form, name in ('onnx', 'a.onnx'), ('torch-export', 'a.pt2'):
        with pytest.raises(UserError, match=name):
            write_part(module, str(tmp_path / name), form, {})
    model.backbone = torch.nn.Identity()
    with pytest.raises(UserError, match='CLIPVisionBackbone'):
        build_parts(model, ['video'], 'uint8')
