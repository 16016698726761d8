"""Tiny architectures of each family, and models made of them; micro-batches,
and counts of what the text side ran."""
import copy
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from mmaction.registry import HOOKS, MODELS, OPTIM_WRAPPERS
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from open_clip.tokenizer import SimpleTokenizer

NAMES = ['archery', 'arm wrestling', 'playing_cards', 'zumba']

_VIT = dict(
    embed_dim=32, quick_gelu=True,
    vision_cfg=dict(
        image_size=32, layers=2, width=64, head_width=32, patch_size=8),
    text_cfg=dict(
        context_length=24, vocab_size=49408, width=32, heads=2, layers=2))


def tiny_arch(**changes) -> dict:
    """A two-layer ViT CLIP, D = 32, 32 x 32 pixels; ``changes`` are top-level
    settings, and some of ``vision_cfg=dict(...)`` or ``text_cfg``."""
    arch = copy.deepcopy(_VIT)
    for key, value in changes.items():
        arch[key] = {**arch[key], **value} if isinstance(
            value, dict) else value
    return arch


def timm_arch(name: str, **vision) -> dict:
    """A tiny CLIP whose image tower is a timm model."""
    cfg = dict(timm_model_name=name, timm_pool='', timm_proj='linear')
    return dict(tiny_arch(), vision_cfg=dict(cfg, **vision))


def classifier_cfg(**kwargs) -> dict:
    """Config of a tiny text classifier."""
    return dict(dict(type='CLIPTextClassifier', arch=tiny_arch(),
                     class_names=NAMES), **kwargs)


def build_classifier(**kwargs):
    """A tiny text classifier with weights that tell classes apart."""
    return MODELS.build(classifier_cfg(**kwargs)).eval()


def model_cfg(prompts=None, num_frames=2, head=None, **kwargs) -> dict:
    """Config of a tiny recognizer."""
    backbone = dict(type='CLIPVisionBackbone', arch=tiny_arch())
    if prompts:
        backbone.update(type='VLDeepPromptBackbone', prompts=prompts)
    cls_head = dict(dict(
        type='TemporalMeanPoolHead', in_channels=32, num_frames=num_frames,
        text_classifier=classifier_cfg(prompts=prompts)), **(head or {}))
    return {'type': 'ViFiCLIP', 'backbone': backbone, 'cls_head': cls_head,
            **kwargs}


def class_tokens(names=NAMES, length=24, template='a photo of a {}.'
                 ) -> torch.Tensor:
    """Token ids [K, length] of the classes' sentences."""
    return SimpleTokenizer(context_length=length)(
        [template.format(name.replace('_', ' ')) for name in names])


def build_model(**kwargs):
    """A tiny recognizer."""
    return MODELS.build(model_cfg(**kwargs))


def samples(labels):
    """Data samples with index labels (or the given tensors)."""
    return [ActionDataSample().set_gt_label(torch.as_tensor(label))
            for label in labels]


class Clips(torch.utils.data.Dataset):
    """Four clips of two frames."""
    metainfo = {}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, idx) -> dict:
        draw = torch.Generator().manual_seed(idx)
        return dict(
            inputs=torch.randint(0, 256, (2, 3, 32, 32), generator=draw,
                                 dtype=torch.uint8),
            data_samples=samples([[idx % len(NAMES)]])[0])


PROMPTS = dict(length=2, depth=2)
VARIANTS = dict(
    both=dict(),
    image_fusion=dict(head=dict(fusion='image', label_smooth_eps=0.1)),
    soft_labels=dict(head=dict(label_smooth_eps=0.1)),
    prompts=dict(prompts=PROMPTS, tune='prompts'),
    text=dict(tune='text', train_token_embedding=True),
    # class embeddings of a video, text that trains behind them
    conditioned=dict(
        backbone=dict(type='XCLIPBackbone', arch=tiny_arch(), num_frames=2),
        head=dict(condition=dict(type='VideoPrompts'), temporal=dict(
            type='TemporalTransformer', max_frames=2, depth=1))),
    # and text that trains before and behind them
    video_prompts=dict(
        backbone=dict(type='ContextBackbone', arch=tiny_arch(), num_frames=2,
                      length=5, give_context=True),
        head=dict(text_classifier=classifier_cfg(
            type='VideoTextClassifier', prompts=dict(length=2, depth=1)))),
    lora=dict(tune='adapters', lora=dict(rank=2)),
    **{kind: dict(tune='adapters', backbone=dict(
        type=kind, arch=tiny_arch(), num_frames=2))
       for kind in ('STAdapterBackbone', 'AIMBackbone')},
    auxiliary=dict(auxiliary=[
        dict(type=f'{name}Loss', teacher=dict(type='EMATeacher'))
        for name in ('AnchorRelation', 'FeatureDistillation')]),
    chunks=dict(head=dict(text_classifier=classifier_cfg(
        templates=['a photo of a {}.', '{}'], max_graph_tokens=40))))


def batches_of(num, size=2):
    clips = Clips()
    return [pseudo_collate([clips[size * i + j] for j in range(size)])
            for i in range(num)]


def trained_model(**kwargs):
    torch.manual_seed(0)
    preprocessor = dict(mean=[127.] * 3, std=[60.] * 3, format_shape='NCHW')
    return build_model(data_preprocessor=preprocessor, **kwargs).train()


def assert_equals(ours, expected, model, reference):
    """Equal embeddings, and an equal gradient of every parameter, for a fixed
    weight of each output; the reference is a copy of the model."""
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    for y in ours, expected:
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert_gradients(model, reference)


def assert_gradients(model, reference, frozen=()):
    """An equal gradient of every parameter, which is not 0, and none of those
    whose names are ``frozen``."""
    named = dict(reference.named_parameters())
    for name, param in model.named_parameters():
        if name in frozen:
            assert param.grad is None, name
            continue
        grad = named[name].grad
        assert grad.any(), name
        torch.testing.assert_close(
            param.grad, grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max()),
            msg=lambda m: f'{name}: {m}')


def count_text_runs(model):
    """Text encodings (of the longest sentence) and backward passes."""
    runs = SimpleNamespace(forward=0, backward=0)

    def forward(module, args, output):
        runs.forward += 1
        if output.requires_grad:
            output.register_hook(backward)

    def backward(grad):
        runs.backward += 1

    model.cls_head.text_classifier.text.ln_final.register_forward_hook(forward)
    return runs


def assert_same(steps, expected, rtol=1e-5):
    """Compare gradients by name of each step."""
    assert len(steps) == len(expected) > 0
    for ours, theirs in zip(steps, expected):
        assert ours.keys() == theirs.keys()
        assert any(g.any() for g in theirs.values())
        for name, grad in ours.items():
            scale = float(theirs[name].abs().max())
            torch.testing.assert_close(
                grad, theirs[name], rtol=rtol, atol=rtol * (scale + 1e-3),
                msg=lambda m: f'{name}: {m}')


def loss_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model(**data, mode='loss')['loss_cls']


def gradients(model):
    return [{n: p.grad for n, p in model.named_parameters()
             if p.grad is not None}]


def wrapper_of(model, counts, max_counts=-1, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    wrapper = OPTIM_WRAPPERS.build(dict(
        type=kwargs.pop('type', 'OptimWrapper'), optimizer=optimizer,
        accumulative_counts=counts, **kwargs))
    if max_counts > 0:
        wrapper.initialize_count_status(model, 0, max_counts)
    wrapper.gradients = []  # of each step

    def step(**kwargs):
        wrapper.gradients += copy.deepcopy(gradients(model))
        optimizer.step()

    wrapper.step = step
    return wrapper


@OPTIM_WRAPPERS.register_module(force=True)
class HalfOptimWrapper(OptimWrapper):
    """float16 and torch's scaler of the loss, as MMEngine's AmpOptimWrapper,
    which refuses a CPU."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.scaler = torch.amp.GradScaler('cpu', init_scale=256.)

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast(
                'cpu', torch.float16):
            yield

    def backward(self, loss, **kwargs) -> None:
        self.scaler.scale(loss).backward()
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()


def train_steps(model, wrapper, batches, hook=True):
    """MMEngine's own loop, but for the data loader."""
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper)
    hook = HOOKS.build(dict(type='TextAccumulationHook')) if hook else Hook()
    for i, batch in enumerate(batches):
        hook.before_train_iter(runner, i, batch)
        model.train_step(copy.deepcopy(batch), wrapper)
        hook.after_train_iter(runner, i, batch)
    return wrapper.gradients
