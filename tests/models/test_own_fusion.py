"""A head with a fusion of its own: whatever makes or compares the embedding of
a video uses it, or it is refused."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import write_mp4
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import build_model, classifier_cfg, model_cfg, samples, tiny_arch

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.models.recognizer import embed_frames
from projects.vifi_clip.models.temporal_head import TemporalMeanPoolHead
from projects.vifi_clip_tools.complexity.count import complexity
from projects.vifi_clip_tools.export.modules import VideoEncoder
from projects.vifi_clip_tools.export.options import ExportOptions
from projects.vifi_clip_tools.export.run import export_model

T, D, SIZE = 3, 32, 32


def by_hand(frames, weight):
    """[..., T, D] to [..., D]: the largest of each channel, turned."""
    return F.normalize(frames.float().max(-2).values @ weight, dim=-1)


class _Turned(TemporalMeanPoolHead):

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        torch.manual_seed(1)
        self.turn = torch.nn.Parameter(torch.randn(D, D))


class PoolHead(_Turned):

    def pool(self, frames):
        n, _, _ = frames.shape  # plain [N, T, D], also of tokens and views
        assert frames.shape[2] == D
        return F.normalize(frames.float().max(1).values.view(n, D)
                           @ self.turn, dim=-1)


class FuseHead(_Turned):

    def fuse(self, frames):
        return by_hand(frames, self.turn)


@pytest.fixture(params=[PoolHead, FuseHead], autouse=True)
def kind(request):
    name = request.param.__name__
    MODELS.register_module(module=request.param, force=True)
    yield name
    MODELS.module_dict.pop(name)


def head_cfg(kind, **kwargs):
    return dict(type=kind, num_frames=T, **kwargs)


def inferencer(kind):
    pipeline = [
        dict(type='VideoReader'),
        dict(type='SparseSampleViews', num_frames=T, num_views=1),
        dict(type='VideoDecode'), dict(type='Resize', scale=(-1, SIZE)),
        dict(type='CenterCrop', crop_size=SIZE), dict(type='RepeatFrames'),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs')]
    torch.manual_seed(0)
    return ViFiCLIPInferencer(Config(dict(
        model=model_cfg(head=head_cfg(kind), data_preprocessor=dict(
            mean=[120.] * 3, std=[60.] * 3, format_shape='NCHW')),
        val_pipeline=pipeline)), device='cpu')


def fused(model, x):
    """Frames [N, T, 3, H, W] to [N, D]."""
    frames = model.backbone(x.flatten(0, 1)).view(len(x), T, D)
    return by_hand(frames, model.cls_head.turn)


def test_training_and_test(kind):
    model = build_model(head=head_cfg(kind)).train()
    x, labels = torch.randn(2, T, 3, SIZE, SIZE), torch.tensor([2, 0])
    head = model.cls_head
    logits = head.logit_scale.exp() * fused(model, x) @ (
        head.text_classifier().T)
    loss = model.loss(x, samples([[2], [0]]))['loss_cls']
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))
    loss.backward()
    assert head.turn.grad.any()
    done = model.eval().predict(x, samples([[2], [0]]))
    torch.testing.assert_close(
        torch.stack([sample.pred_score for sample in done]),
        logits.softmax(-1), atol=1e-5, rtol=1e-4)


def test_contrastive_loss(kind):
    model = build_model(head=head_cfg(
        kind, loss_cls=dict(type='CLIPContrastiveLoss')))
    x, head = torch.randn(2, T, 3, SIZE, SIZE), model.cls_head
    logits = head.logit_scale.exp() * fused(model, x) @ (
        head.text_classifier()[[2, 0]].T)
    labels = torch.arange(2)
    torch.testing.assert_close(
        model.loss(x, samples([[2], [0]]))['loss_cls'],
        (F.cross_entropy(logits, labels)
         + F.cross_entropy(logits.T, labels)) / 2)


def test_retrieval(kind):
    pixels = dict(type='ActionDataPreprocessor')
    model = build_model(
        head=head_cfg(kind, loss_cls=dict(type='CLIPContrastiveLoss')),
        type='ViFiCLIPRetriever', data_preprocessor=dict(
            type='MultiModalDataPreprocessor',
            preprocessors=dict(imgs=pixels, text=pixels)))
    x = torch.randn(2, T, 3, SIZE, SIZE)
    torch.testing.assert_close(model.embed_video(x), fused(model, x))


def test_predict_embed_search_and_long_videos(kind, tmp_path):
    draw = np.random.default_rng(0)
    clip = write_mp4(tmp_path / 'a.mp4', frames=draw.integers(
        0, 256, (30, 40, 48, 3), np.uint8))
    infer = inferencer(kind)
    with torch.no_grad():
        x = infer.normalise(infer.sample(clip).images)[None]
        row = fused(infer.model, x)
        head = infer.model.cls_head
        scores = head.class_logits(row).softmax(-1)[0]
    # what `embed` and `index` write
    embedding = next(infer.embed(clip))['embedding']
    np.testing.assert_allclose(embedding, row[0], atol=1e-5)
    np.testing.assert_allclose(
        infer.video_scores(infer.sample(clip).images), scores, atol=1e-5)
    found = next(infer.predict(clip))
    np.testing.assert_allclose(found['scores'][0], scores.max(), atol=1e-5)
    windows = infer.window_embeddings(clip, 10., 1.)
    assert windows.embeddings.shape == (1, D)
    assert torch.linalg.norm(windows.embeddings) == pytest.approx(1, abs=1e-5)
    mean = F.normalize(infer.model.backbone(x[0]).mean(0), dim=-1)
    assert not torch.allclose(windows.embeddings[0], mean, atol=1e-2)


def test_export(kind, tmp_path):
    infer = inferencer(kind)
    encoder = VideoEncoder(infer.model.eval(), 'float').eval()
    x = torch.randn(2, T, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), fused(infer.model, x))
    # refuses files that differ from the model
    export_model(infer, ExportOptions(
        out=str(tmp_path), form='torch-export', parts=('video', ),
        frames=(2, ), batches=(1, )))


def test_cached_frames(kind, monkeypatch):
    """Embeddings made before go through the same fusion."""
    from projects.vifi_clip.models import frame_embeddings
    monkeypatch.setattr(
        frame_embeddings, 'FrameCache',
        lambda folder: type('Cache', (), dict(check=lambda self, **kw: 0))())
    model = build_model(
        head=head_cfg(kind), tune='text', backbone=dict(
            type='FrameEmbeddings', arch=tiny_arch(), cache='none'))
    rows, head = torch.randn(2, T, D), model.cls_head
    logits = head.logit_scale.exp() * by_hand(rows, head.turn) @ (
        head.text_classifier().T)
    torch.testing.assert_close(
        model.loss(rows, samples([[2], [0]]))['loss_cls'],
        F.cross_entropy(logits, torch.tensor([2, 0])))


def test_complexity(kind):
    """One D x D product a view more."""
    counts = [complexity(Config(dict(model=model_cfg(head=head_cfg(name)))),
                         []).run['image']
              for name in (kind, 'TemporalMeanPoolHead')]
    assert counts[0] - counts[1] == D * D


def test_teachers(kind):
    """CLIP has the mean; the model's own average has its fusion."""
    model = build_model(head=head_cfg(kind), auxiliary=[
        dict(type='FeatureDistillationLoss', teacher=dict(type='EMATeacher'))])
    x = torch.randn(1, T, 3, SIZE, SIZE)
    teacher, = model.auxiliary.teachers
    teacher.prepare(model)
    frames = embed_frames(model, x)[0]
    torch.testing.assert_close(
        teacher.parts.cls_head.fuse(frames),
        by_hand(frames, model.cls_head.turn))


def test_clip_as_teacher_has_the_mean(kind, tmp_path):
    plain = build_model()
    path = tmp_path / 'clip.pth'
    torch.save(dict(state_dict=plain.state_dict()), path)
    model = build_model(
        head=head_cfg(kind, text_classifier=classifier_cfg()), auxiliary=[dict(
            type='FeatureDistillationLoss', teacher=dict(
                type='CLIPTeacher', arch=tiny_arch(),
                pretrained=str(path)))])
    teacher, = model.auxiliary.teachers
    teacher.prepare(model)
    frames = torch.randn(2, T, D)
    torch.testing.assert_close(teacher.parts.cls_head.fuse(frames),
                               F.normalize(frames.mean(1), dim=-1))


def test_what_is_refused(kind):
    with pytest.raises(ValueError, match="fusion='image'.*pool"):
        build_model(head=head_cfg(kind, fusion='image'))
    with pytest.raises(TypeError, match='OwnForward.*pool.*class_logits'):
        class OwnForward(TemporalMeanPoolHead):
            def forward(self, x, **kwargs):
                return x


def test_a_pool_of_another_shape():
    class KeepsFrames(TemporalMeanPoolHead):
        def pool(self, frames):
            return frames

    head = KeepsFrames(in_channels=D, num_frames=T,
                       text_classifier=classifier_cfg())
    with pytest.raises(ValueError, match=r'KeepsFrames.*\[2, 32\].*\[2, 3, 3'):
        head.fuse(torch.randn(2, T, D))
    head.pool = lambda frames: None  # a forgotten return
    with pytest.raises(ValueError, match=r'KeepsFrames.*\[2, 32\].*NoneType'):
        head.fuse(torch.randn(2, T, D))


@pytest.mark.parametrize('fusion', ['embedding', 'decision'])
def test_a_pool_of_any_length(fusion):
    """The embedding fusion's scores are cosines, whatever the length."""
    class LongPool(TemporalMeanPoolHead):
        def pool(self, frames):
            return 7 * frames.amax(1)

    head = LongPool(in_channels=D, num_frames=T, fusion=fusion,
                    text_classifier=classifier_cfg())
    frames = torch.randn(2, T, D)
    expected = 7 * frames.max(1).values
    if fusion == 'embedding':
        expected /= expected.pow(2).sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(head.fuse(frames), expected)


def test_tokens_go_by_the_pool():
    """Of X-CLIP's kind: the pool sees the embeddings alone."""
    head = PoolHead(
        in_channels=D, num_frames=T, text_classifier=classifier_cfg(),
        condition=dict(type='VideoPrompts'))
    frames = torch.randn(2, 4, T, 1 + 5, D)
    video = head.fuse(frames)
    assert video.shape == (2, 4, 1 + 5, D)
    torch.testing.assert_close(video[:, :, 0],
                               by_hand(frames[..., 0, :], head.turn))
    torch.testing.assert_close(video[:, :, 1:], frames[..., 1:, :].mean(2))
