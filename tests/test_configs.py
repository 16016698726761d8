"""Every config parses and builds; its figures are the paper's."""
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import write_mp4
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

ROOT = Path(__file__).parents[1] / 'configs'
ENTRIES = sorted(path for path in ROOT.rglob('*.py')
                 if '_base_' not in path.parts)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


@pytest.fixture
def k400(monkeypatch):
    """The entry config, without pretrained weights."""
    monkeypatch.setenv('PRETRAINED', 'none')
    return Config.fromfile(ROOT / 'vifi_k400.py')


def _entry(tmp_path, *bases, text='') -> Config:
    """A small entry config of a user's."""
    path = tmp_path / 'entry.py'
    listed = [str(ROOT / '_base_' / base) for base in bases]
    path.write_text(f'_base_ = {listed!r}\n{text}\n')
    return Config.fromfile(path)


@pytest.mark.parametrize(
    'path', ENTRIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_parses(path):
    cfg = Config.fromfile(path)
    assert cfg.model.type and cfg.train_dataloader.dataset.type
    for key in 'work_dir', 'filename':
        assert key not in cfg, f'{key} is for the tools to set'
    # what a run writes into its work_dir reads back as the same
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.to_dict() == cfg.to_dict()


def test_k400_model_builds(k400):
    # Not on the meta device: blending and tokens need real numbers.
    model = MODELS.build(k400.model)
    blending = model.data_preprocessor.blending
    used = {type(part).__name__: float(share)
            for part, share in zip(blending.augments, blending.probs)
            if share > 0}
    assert used == dict(MixupBlending=0.5, CutmixBlending=0.5)
    tower = model.backbone.visual
    assert model.cls_head.num_classes == 400
    assert len(tower.transformer.resblocks) == 12
    assert tower.conv1.weight.shape == (768, 3, 16, 16)
    # ViT-B/16: the paper's 124.7 M are without the token embedding
    tokens = model.cls_head.text_classifier.text.token_embedding.weight
    total = sum(p.numel() for p in model.parameters())
    assert (total - tokens.numel()) / 1e6 == pytest.approx(124.3, abs=0.5)
    assert not tokens.requires_grad
    assert model.cls_head.label_smooth_eps == 0.1


def test_k400_batch_arithmetic(k400):
    per_gpu = k400.train_dataloader.batch_size
    assert 8 * per_gpu * k400.optim_wrapper.accumulative_counts == 512
    assert k400.auto_scale_lr.base_batch_size == 8 * per_gpu
    assert k400.train_cfg.max_epochs == 30
    optimizer = k400.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.betas, optimizer.eps,
            optimizer.weight_decay) == ('AdamW', 22e-6, (0.9, 0.98), 1e-8,
                                        0.001)
    assert k400.optim_wrapper.dtype == 'bfloat16'


def test_k400_learning_rate(k400):
    """5 epochs up from 0, then a cosine to a hundredth, by iteration."""
    epoch, peak = 100, k400.optim_wrapper.optimizer.lr
    weight = torch.nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.AdamW([weight], lr=peak))
    schedulers = [
        PARAM_SCHEDULERS.build(
            dict(cfg, optimizer=wrapper),
            default_args=dict(epoch_length=epoch))
        for cfg in k400.param_scheduler
    ]
    rates = []
    for _ in range(30 * epoch):
        rates.append(wrapper.param_groups[0]['lr'])
        wrapper.update_params(weight.sum())
        for scheduler in schedulers:
            scheduler.step()
    warmup, total = 5 * epoch, 30 * epoch

    def expected(i: int) -> float:
        if i < warmup:
            return peak * i / warmup
        turn = (i - warmup) / (total - warmup)
        return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * turn)) / 2)

    for i in range(total):
        # MMEngine's warm-up arrives one iteration early
        assert rates[i] == pytest.approx(expected(i), abs=peak / warmup), i
    assert rates[0] < 1e-4 * peak and max(rates) == pytest.approx(peak)
    assert rates[-1] == pytest.approx(peak / 100, rel=1e-3)
    assert rates.index(max(rates)) in (warmup - 1, warmup)


@pytest.fixture
def clip(tmp_path):
    return write_mp4(tmp_path / 'clip.mp4', 40, (320, 240))


@pytest.mark.parametrize('name, views', [('val', 1), ('test', 12)])
def test_k400_test_pipelines_run(k400, clip, name, views):
    pipeline = Compose(k400[f'{name}_pipeline'])
    shapes = {tuple(_sample(pipeline, clip)['inputs'].shape)
              for _ in range(2)}
    assert shapes == {(views * 16, 3, 224, 224)}


def test_k400_train_pipeline_runs(k400, clip):
    """Twenty times, through every random branch."""
    pipeline, grey, inputs = Compose(k400.train_pipeline), 0, []
    for seed in range(20):
        np.random.seed(seed), torch.manual_seed(seed)
        sample = _sample(pipeline, clip)
        frames = sample['inputs']
        assert frames.shape == (16, 3, 224, 224)
        assert frames.dtype is torch.uint8
        # a clip is grey as a whole or not at all
        flat = [bool((f == f[:1]).all()) for f in frames]
        assert len(set(flat)) == 1
        grey += flat[0]
        inputs.append(frames.float().mean())
    assert 0 < grey < 12  # one in five
    assert len(set(inputs)) == 20


def _sample(pipeline, clip) -> dict:
    return pipeline(dict(filename=clip, label=0, start_index=0,
                         modality='RGB'))


def test_greyscale_keeps_lightness(clip):
    transform = TRANSFORMS.build(
        dict(type='TorchVisionWrapper', op='RandomGrayscale', p=1))
    frame = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    result, = transform(dict(imgs=[frame]))['imgs']
    lightness = frame @ np.array([0.299, 0.587, 0.114])
    assert np.abs(result - lightness[..., None]).max() <= 1.5


def test_knobs(monkeypatch, tmp_path):
    for name, value in dict(
            DATA_ROOT='/data/k400', TRAIN_LIST='t.txt', VAL_LIST='v.txt',
            VIDEO_DIR='clips', ARCH='ViT-B-32-quickgelu',
            PRETRAINED='/data/clip.pt').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(ROOT / 'vifi_k400.py')
    for name, listed in dict(train='t', val='v', test='v').items():
        dataset = cfg[f'{name}_dataloader'].dataset
        assert dataset.data_root == '/data/k400'
        assert dataset.ann_file == f'{listed}.txt'
        assert dataset.data_prefix.video == 'clips'
    for part in (cfg.model.backbone, cfg.model.cls_head.text_classifier):
        assert part.arch == 'ViT-B-32-quickgelu'
        assert part.pretrained == '/data/clip.pt'


def test_knobs_have_defaults(monkeypatch):
    for name in 'ARCH', 'PRETRAINED', 'DATA_ROOT':
        monkeypatch.delenv(name, raising=False)
    cfg = Config.fromfile(ROOT / 'vifi_k400.py')
    assert cfg.model.backbone.arch == 'ViT-B-16-quickgelu'
    assert cfg.model.backbone.pretrained == 'openai'
    assert cfg.test_dataloader.dataset.data_root == 'data/kinetics400'


def test_prompt_model(monkeypatch, tmp_path):
    monkeypatch.setenv('PRETRAINED', 'none')
    cfg = _entry(tmp_path, 'runtime.py', 'models/prompt.py',
                 'datasets/k400.py', text='model = dict('
                 'save_trainable_only=True)')
    classifier = cfg.model.cls_head.text_classifier
    classifier.update(class_file=None, class_names=['archery', 'zumba'])
    model = MODELS.build(cfg.model)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert names and all('prompts' in name for name in names)
    # 12 layers of 10 tokens in each tower, 768 and 512 wide
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count == 12 * 10 * (768 + 512)
    assert set(model.state_dict()) == set(names)
