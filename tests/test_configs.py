"""Every config parses and builds; its figures are the paper's."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import write_mp4
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from tiny import tiny_arch

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


@pytest.mark.parametrize(
    'path', ENTRIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_parses(path):
    cfg = Config.fromfile(path)
    assert cfg.model.type
    # small_world is trained as vifi_mini, and comes with its weights
    trains = cfg.get('load_from') != 'vifi-clip://small_world'
    assert trains == ('train_dataloader' in cfg)
    assert not trains or cfg.train_dataloader.dataset.type
    for key in 'work_dir', 'filename':
        assert key not in cfg, f'{key} is for the tools to set'
    for part in 'val', 'test':  # MMEngine's runner wants all three or none
        assert len({cfg.get(f'{part}_{name}') is None
                    for name in ('cfg', 'dataloader', 'evaluator')}) == 1
    # what a run writes into its work_dir reads back as the same
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.to_dict() == cfg.to_dict()


SAMPLED = [path for path in ENTRIES if path.parent == ROOT
           and path.stem not in ('mini_clip', 'vifi_cached')]


@pytest.mark.parametrize('path', SAMPLED, ids=lambda path: path.stem)
def test_every_test_takes_the_midpoints(path):
    """tests/datasets/test_transforms.py says that SparseSampleViews does."""
    cfg = Config.fromfile(path)
    pipelines = [cfg[name] for name in ('val_pipeline', 'test_pipeline',
                                        'views_pipeline') if name in cfg]
    pipelines += [cfg[f'{part}_dataloader'].dataset.pipeline
                  for part in ('val', 'test') if f'{part}_dataloader' in cfg]
    assert pipelines
    for pipeline in pipelines:
        sampler, = [step for step in pipeline if 'Sample' in step.type]
        assert sampler.type == 'SparseSampleViews'
        assert sampler.get('mode', 'uniform') == 'uniform'


@pytest.mark.slow
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


def test_knobs_of_places(monkeypatch):
    for name, value in dict(
            LIST_DIR='/lists', TRAIN_LIST='t.txt', VAL_LIST='v.txt',
            VIDEO_DIR='/clips', CLASS_FILE='/lists/names.csv',
            ARCH='ViT-B-32-quickgelu', PRETRAINED='/data/clip.pt').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(ROOT / 'vifi_k400.py')
    for name, listed in dict(train='t', val='v', test='v').items():
        dataset = cfg[f'{name}_dataloader'].dataset
        assert dataset.ann_file == f'/lists/{listed}.txt'
        assert dataset.data_prefix.video == '/clips'
        assert dataset.class_file == '/lists/names.csv'
    classifier = cfg.model.cls_head.text_classifier
    assert classifier.class_file == '/lists/names.csv'
    for part in (cfg.model.backbone, classifier):
        assert part.arch == 'ViT-B-32-quickgelu'
        assert part.pretrained == '/data/clip.pt'


def test_defaults_of_places():
    cfg = Config.fromfile(ROOT / 'vifi_k400.py')
    assert cfg.model.backbone.arch == 'ViT-B-16-quickgelu'
    assert cfg.model.backbone.pretrained == 'openai'
    dataset = cfg.test_dataloader.dataset
    assert dataset.data_prefix.video == 'data/k400/videos'
    lists = ROOT.parent / 'data_splits/k400'
    assert Path(dataset.ann_file).resolve() == lists / 'val.txt'
    assert Path(dataset.class_file).resolve() == lists / 'classes.txt'


def test_blending_follows_the_class_list(monkeypatch, tmp_path):
    """A config for data of one's own needs no number of classes."""
    names = tmp_path / 'names.txt'
    names.write_text('archery\narm wrestling\nzumba\n')
    arch = tmp_path / 'arch.json'
    arch.write_text(json.dumps(tiny_arch(vision_cfg=dict(image_size=224))))
    for name, value in dict(PRETRAINED='none', CLASS_FILE=names,
                            ARCH=arch).items():
        monkeypatch.setenv(name, str(value))
    model = MODELS.build(Config.fromfile(ROOT / 'vifi_k400.py').model)
    assert {augment.num_classes for augment in
            model.data_preprocessor.blending.augments if augment} == {3}


# The table "Optimisation" of the paper's settings: T, epochs, batch, lr.
SETTINGS = [
    ('vifi_zero_shot', dict(), 32, 10, 256, 8e-6),
    ('vifi_zero_shot', dict(TUNE='image'), 32, 10, 256, 8e-6),
    ('vifi_k400', dict(), 16, 30, 512, 22e-6),
    ('vifi_k400', dict(TUNE='image'), 16, 30, 256, 8e-6),
    ('vifi_k400', dict(TUNE='text'), 16, 30, 256, 8e-6),
    ('vifi_base2novel', dict(), 32, 11, 64, 2e-6),
    ('vifi_base2novel', dict(TUNE='prompts'), 32, 11, 64, 4e-2),
    ('vifi_few_shot', dict(), 32, 50, 64, 2e-6),
    ('vifi_few_shot', dict(TUNE='prompts'), 32, 50, 64, 8e-3),
]


@pytest.mark.parametrize('entry, knobs, frames, epochs, batch, lr', SETTINGS)
def test_settings_are_the_papers(monkeypatch, entry, knobs, frames, epochs,
                                 batch, lr):
    for name, value in dict(knobs, PRETRAINED='clip.pt').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(ROOT / f'{entry}.py')
    assert cfg.model.cls_head.num_frames == frames
    steps = {step.type: step for step in cfg.train_pipeline}
    assert steps['SampleFrames'].num_clips == frames
    steps = {step.type: step for step in cfg.test_pipeline}
    assert steps['SparseSampleViews'].num_frames == frames
    assert cfg.train_cfg.max_epochs == epochs
    assert (8 * cfg.train_dataloader.batch_size *
            cfg.optim_wrapper.accumulative_counts) == batch
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.model.tune == knobs.get('TUNE', 'both')
    assert cfg.train_dataloader.drop_last  # tests/protocol has the rates


@pytest.mark.parametrize('entry, length, depth', [
    ('vifi_base2novel', 16, 9), ('vifi_few_shot', 10, 12)])
def test_prompts_are_the_papers(monkeypatch, tmp_path, entry, length, depth):
    names = tmp_path / 'base_classes.txt'
    names.write_text('archery\nzumba\n')
    (tmp_path / 'classes.txt').write_text('archery\nzumba\n')
    for name, value in dict(TUNE='prompts', PRETRAINED='none',
                            LIST_DIR=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(ROOT / f'{entry}.py')
    cfg.model.save_trainable_only = True
    model = MODELS.build(cfg.model)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert names and all('prompts' in name for name in names)
    # in each tower, 768 and 512 wide
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count == length * depth * (768 + 512)
    assert set(model.state_dict()) == set(names)


def test_prompts_without_a_bridge_are_refused(monkeypatch):
    monkeypatch.setenv('TUNE', 'prompts')
    with pytest.raises(ValueError, match='PRETRAINED=CHECKPOINT'):
        Config.fromfile(ROOT / 'vifi_few_shot.py')


def test_zero_shot_sets(monkeypatch):
    sets = Config.fromfile(ROOT / 'vifi_zero_shot.py').test_cfg.sets
    assert [one.name for one in sets] == [
        f'{name}_{n}' for name in ('hmdb51', 'ucf101', 'k600')
        for n in (1, 2, 3)]
    for one in sets:
        assert one.group == one.name[:-2]
        assert Path(one.class_file).is_file()
        assert one.data_prefix.video == f'data/{one.group}/videos'
    monkeypatch.setenv('EVAL', 'ucf101')
    monkeypatch.setenv('SPLIT', '2')
    one, = Config.fromfile(ROOT / 'vifi_zero_shot.py').test_cfg.sets
    assert one.ann_file.endswith('data_splits/ucf101/val_split2.txt')


@pytest.mark.parametrize('entry, knob, value', [
    ('vifi_k400', 'TUNE', 'imge'), ('vifi_k400', 'FUSION', 'mean'),
    ('vifi_k400', 'PIXELS', 'none'), ('vifi_k400', 'TEMPLATE', 'a {}'),
    ('vifi_zero_shot', 'EVAL', 'hmdb'), ('vifi_zero_shot', 'SPLIT', '4'),
    ('vifi_few_shot', 'SHOTS', '0'), ('vifi_few_shot', 'SEED', 'one'),
    ('vifi_few_shot', 'DATASET', 'ucf'),
    ('vifi_few_shot', 'CLASS_TEXT', 'camel'),
    ('vifi_retrieval', 'TUNE', 'prompts'),
    ('vifi_mini', 'PROTOCOL', 'fewshot'), ('vifi_mini', 'SHOTS', 'K')])
def test_bad_knobs(monkeypatch, entry, knob, value):
    monkeypatch.setenv(knob, value)
    with pytest.raises(ValueError, match=f'{knob}={value}'):
        Config.fromfile(ROOT / f'{entry}.py')


@pytest.mark.parametrize('knobs, template', [
    (dict(), 'a photo of a {}.'), (dict(TUNE='none'), '{}'),
    (dict(TUNE='none', TEMPLATE='photo'), 'a photo of a {}.'),
    (dict(TEMPLATE='name'), '{}')])
def test_templates(monkeypatch, knobs, template):
    """The release tests frozen CLIP with the bare class name."""
    for name, value in knobs.items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(ROOT / 'vifi_few_shot.py')
    assert cfg.model.cls_head.text_classifier.templates == template
