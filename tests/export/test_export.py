"""What exported files compute, against the model; the command: its files, its
example, and what it refuses."""
import json
import os
import os.path as osp
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from commands import refused, vifi
from tiny import build_model, classifier_cfg, tiny_arch

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.export import checking, run
from projects.vifi_clip_tools.export.formats import (METADATA_FILE, open_file,
                                                     quantize_file, write_part)
from projects.vifi_clip_tools.export.modules import (Classifier, TextEncoder,
                                                     VideoEncoder, build_parts)

MEAN, STD = np.array([120, 110, 100]), np.array([60, 50, 55])


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


def test_sentences_of_classes(world):
    text = world.file('text')
    classifier = world.infer.classifier
    tokens = classifier.tokens.numpy()
    with torch.no_grad():
        expected = classifier().numpy()
    classes = text(tokens).reshape(-1, len(classifier.templates), 32).mean(1)
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    np.testing.assert_allclose(classes, expected, atol=1e-4)
    assert abs(expected[0] - expected[1]).max() > 0.01
    # padded to the context, and alone
    padded = np.pad(tokens, ((0, 0), (0, 24 - tokens.shape[1])))
    np.testing.assert_allclose(text(padded), text(tokens), atol=1e-5)
    np.testing.assert_allclose(text(tokens[:1]), text(tokens)[:1], atol=1e-5)


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

    def traced_length(self):
        return 1

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
    check, = checking.check_file(
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


# Neither torch nor this project can be imported.
_ALONE = ("import sys, runpy; sys.modules['torch'] = None; "
          "sys.modules['projects'] = None; sys.argv = sys.argv[1:]; "
          "runpy.run_path(sys.argv[0], run_name='__main__')")


def run_example(folder, *args, code=0):
    """Return the probabilities that the example prints, and all it says."""
    done = subprocess.run(
        [sys.executable, '-c', _ALONE, osp.join(folder, 'example.py'), *args],
        capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == code, done.stderr
    return {name: float(score) / 100
            for score, name in re.findall(r'([\d.]+)%  (.+)', done.stdout)
            }, done.stdout + done.stderr


@pytest.mark.slow
def test_the_example_runs_without_this_project(onnx_files, videos, tmp_path):
    infer, folder = onnx_files.infer, onnx_files.options.out
    path = str(videos / '0.mp4')
    images = infer.sample(path).images
    np.save(tmp_path / 'clip.npy', images)
    expected = dict(zip(infer.class_names, infer.video_scores(images)))
    scores, printed = run_example(folder, str(tmp_path / 'clip.npy'))
    assert scores == pytest.approx(expected, abs=1e-4)
    same = re.search(r'embeddings: the same to (\S+)', printed)
    assert float(same.group(1)) < 1e-5
    # The same video through OpenCV: the same frames, scaled and cut alike.
    scores, _ = run_example(folder, path)
    assert scores == pytest.approx(expected, abs=0.01)
    scores, _ = run_example(folder, path, 'classifier_int8.onnx')
    assert set(scores) == set(expected)
    np.save(tmp_path / 'large.npy', images.repeat(2, axis=1))
    _, said = run_example(folder, str(tmp_path / 'large.npy'), code=1)
    assert '[T, 32, 32, 3]' in said


def test_what_lies_beside_the_files(pt2_files, monkeypatch):
    assert set(os.listdir(pt2_files.options.out)) == set(
        pt2_files.options.files())
    folder, infer = Path(pt2_files.options.out), pt2_files.infer
    classes = json.loads((folder / 'classes.json').read_text())
    assert classes['class_names'] == infer.class_names
    assert classes['owners'] == [0, 0, 1, 1, 2, 2, 3, 3]
    text = (folder / 'README.md').read_text()
    assert "'decision'" in text
    monkeypatch.chdir(folder)
    space = {}
    # What people copy must run.
    exec(text.split('```python\n')[1].split('```')[0], space)
    assert space['output'].shape == (1, 4)
    extra = json.loads(space['extra']['vifi_clip.json'])
    assert extra['class_names'] == infer.class_names


COMMAND = ('export', '--config', 'small_world', '--format', 'torch-export',
           '--check-frames', 2, '--check-batches', 1)


def test_the_command(tmp_path, videos, capsys):
    out = tmp_path / 'new' / 'folder'
    args = [*COMMAND, '--out', out, '--parts', 'classifier', '--labels',
            'a cat, a dog, Öl', '--input', 'float', '--evaluate',
            videos / 'list.txt', '--root', videos]
    assert vifi(*args) == 0
    printed = capsys.readouterr().out
    assert 'classifier.pt2' in printed and '3 videos' in printed
    assert sorted(os.listdir(out)) == ['README.md', 'classes.json',
                                       'classifier.pt2']
    scores = open_file(str(out / 'classifier.pt2'))(
        np.zeros((2, 5, 3, 60, 60), np.float32))
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    # again: refused, and nothing is touched
    before = os.stat(out / 'classifier.pt2').st_mtime_ns
    refused(capsys, *args, names='--overwrite')
    assert os.stat(out / 'classifier.pt2').st_mtime_ns == before


@pytest.mark.parametrize('words, names', [
    ('--parts video,sound', '--parts'), ('--parts video,video', '--parts'),
    ('--labels=', 'labels'), ('--format torch-export --int8', '--int8'),
    ('--opset 9', '--opset'), ('--opset 99 --config small_world', '--opset'),
    ('--device cuda:0', '--device'),
    ('--precision bf16', '--precision'), ('--evaluate absent', 'absent'),
    ('--evaluate config --parts text', '--parts'),
    ('--evaluate config --root .', '--root'), ('--out {file}', '--out'),
    ('', 'vifi_clip[export]')])
def test_refusals(tmp_path, words, names, monkeypatch, capsys):
    out = tmp_path / 'out'
    if not words:  # but a library is absent
        monkeypatch.setitem(sys.modules, 'onnxscript', None)
    refused(capsys, 'export', '--out', out, *(
        word.format(file=__file__) for word in words.split()), names=names)
    assert not out.exists() or not os.listdir(out)


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    real = run.open_file
    monkeypatch.setattr(
        run, 'open_file',
        lambda path: lambda x: real(path)(x) + np.float32(2e-4))
    (tmp_path / 'video_encoder.pt2').write_bytes(b'old')
    assert vifi(*COMMAND, '--out', tmp_path, '--parts', 'video',
                '--overwrite') == 1
    printed = capsys.readouterr()
    assert 'too large' in printed.out and 'video_encoder.pt2' in printed.err
    assert os.listdir(tmp_path) == ['video_encoder.pt2']
    assert (tmp_path / 'video_encoder.pt2').read_bytes() == b'old'


def test_accuracies_side_by_side():
    first = np.array([[.9, .1], [.6, .4], [.2, .8], [.3, .7]])
    second = np.array([[.8, .2], [.4, .6], [.2, .8], [.3, .7]])
    _, *rows, change = checking.accuracy_table(
        dict(a=first, b=second), [0, 0, 1, 0]).splitlines()
    assert [row.split() for row in rows] == [
        ['a', '75.00%', '0', '0.0e+00'], ['b', '50.00%', '1', '2.0e-01']]
    assert '-25.00' in change


def test_videos_of_a_list_and_of_a_config(pt2_files, videos, monkeypatch):
    infer, paths = pt2_files.infer, str(videos / 'list.txt')
    listed = checking.find_videos(paths, str(videos), infer)
    assert listed[2] == (str(videos / '2.mp4'), 2)
    scores, = checking.evaluate_files(
        {'a': pt2_files.file('classifier')}, listed, 'uint8', infer).values()
    np.testing.assert_allclose(scores, [
        infer.video_scores(infer.sample(path).images) for path, _ in listed],
        atol=1e-4)
    with pytest.raises(FileNotFoundError, match='3 of 3'):
        checking.find_videos(paths, str(videos.parent), infer)
    with pytest.raises(UserError):  # no test set
        checking.find_videos('config', None, infer)
    names, cfg = videos / 'names.txt', infer.cfg.copy()
    cfg.test_dataloader = dict(dataset=dict(
        ann_file='list.txt', data_root=str(videos),
        data_prefix=dict(video=''), class_file=str(names)))
    monkeypatch.setattr(infer, 'cfg', cfg)
    names.write_text('\n'.join(infer.class_names) + '\n')
    assert checking.find_videos('config', None, infer) == listed
    names.write_text('one\ntwo\n')
    with pytest.raises(UserError, match='names.txt'):
        checking.find_videos('config', None, infer)
