"""Every config parses, its figures are the paper's, its pipelines run, and
its batches fit its model."""
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import write_mp4
from matrix_world import clear_knobs
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from tiny import tiny_arch

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams
from projects.vifi_clip_tools.run import train

ROOT = Path(__file__).parents[1] / 'configs'
ENTRIES = sorted(path.relative_to(ROOT).with_suffix('').as_posix()
                 for path in ROOT.rglob('*.py') if '_base_' not in path.parts)


@pytest.fixture(autouse=True)
def read(monkeypatch):
    """Function of an entry's name and its knobs: the config."""
    clear_knobs(monkeypatch)
    init_default_scope('mmaction')

    def read_config(entry, **knobs) -> Config:
        for name, value in knobs.items():
            monkeypatch.setenv(name, str(value))
        return Config.fromfile(ROOT / f'{entry}.py')

    return read_config


@pytest.mark.parametrize('entry', ENTRIES)
def test_every_config_parses(read, entry):
    cfg = read(entry)
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
    if entry.startswith('mix/') or entry in ('mini_clip', 'vifi_cached'):
        return
    # tests/datasets/test_transforms.py: SparseSampleViews takes midpoints
    pipelines = [cfg[name] for name in ('val_pipeline', 'test_pipeline',
                                        'views_pipeline') if name in cfg]
    pipelines += [cfg[f'{part}_dataloader'].dataset.pipeline
                  for part in ('val', 'test') if f'{part}_dataloader' in cfg]
    assert pipelines
    for pipeline in pipelines:
        sampler, = [step for step in pipeline if 'Sample' in step.type]
        assert sampler.type == 'SparseSampleViews'
        assert sampler.get('mode', 'uniform') == 'uniform'


# The table "Optimisation" of the paper's settings: T, batch, lr. The epochs
# and the course of the rate are in tests/protocol.
@pytest.mark.parametrize('entry, knobs, frames, batch, lr', [
    ('vifi_zero_shot', dict(), 32, 256, 8e-6),
    ('vifi_zero_shot', dict(TUNE='image'), 32, 256, 8e-6),
    ('vifi_k400', dict(), 16, 512, 22e-6),
    ('vifi_k400', dict(TUNE='image'), 16, 256, 8e-6),
    ('vifi_k400', dict(TUNE='text'), 16, 256, 8e-6),
    ('vifi_base2novel', dict(), 32, 64, 2e-6),
    ('vifi_base2novel', dict(TUNE='prompts'), 32, 64, 4e-2),
    ('vifi_few_shot', dict(), 32, 64, 2e-6),
    ('vifi_few_shot', dict(TUNE='prompts'), 32, 64, 8e-3)])
def test_settings_are_the_papers(read, entry, knobs, frames, batch, lr):
    cfg = read(entry, PRETRAINED='clip.pt', **knobs)
    assert cfg.model.cls_head.num_frames == frames
    steps = {step.type: step for step in cfg.train_pipeline}
    assert steps['SampleFrames'].num_clips == frames
    steps = {step.type: step for step in cfg.test_pipeline}
    assert steps['SparseSampleViews'].num_frames == frames
    per_gpu = cfg.train_dataloader.batch_size
    assert 8 * per_gpu * cfg.optim_wrapper.accumulative_counts == batch
    assert cfg.auto_scale_lr.base_batch_size == 8 * per_gpu
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.betas, optimizer.eps,
            optimizer.weight_decay) == ('AdamW', lr, (0.9, 0.98), 1e-8, 0.001)
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert cfg.model.cls_head.label_smooth_eps == 0.1
    assert cfg.train_dataloader.drop_last


def test_k400_pipelines_run(read, tmp_path):
    """That of the training twenty times, through every random branch."""
    clip = dict(filename=write_mp4(tmp_path / 'clip.mp4', 40, (320, 240)),
                label=0, start_index=0, modality='RGB')
    cfg = read('vifi_k400')
    for name, views in ('val', 1), ('test', 12):
        inputs = Compose(cfg[f'{name}_pipeline'])(dict(clip))['inputs']
        assert inputs.shape == (views * 16, 3, 224, 224)
    pipeline, grey = Compose(cfg.train_pipeline), 0
    for seed in range(20):
        np.random.seed(seed), torch.manual_seed(seed)
        frames = pipeline(dict(clip))['inputs']
        assert frames.shape == (16, 3, 224, 224)
        # a clip is grey as a whole or not at all
        flat = [bool((f == f[:1]).all()) for f in frames]
        assert len(set(flat)) == 1
        grey += flat[0]
    assert 0 < grey < 12  # one in five


@pytest.mark.parametrize('entry', [
    'vifi_k400', 'vifi_few_shot', 'vifi_base2novel', 'vifi_retrieval',
    'vifi_mini', 'mini_retrieval'])
def test_packed_videos(read, entry):
    cfg = read(entry, PACKED='packed', VIDEO_DIR='/clips', DATA_ROOT='/data')
    for part in 'train', 'val', 'test':
        dataset = cfg[f'{part}_dataloader'].dataset
        assert dataset.data_prefix.video == 'packed'
        assert not dataset.get('data_root')  # it would stand before that


@pytest.mark.parametrize('knobs, places, arch, pretrained', [
    (dict(), ('data_splits/k400/train.txt', 'data_splits/k400/val.txt',
              'data_splits/k400/classes.txt', 'data/k400/videos'),
     'ViT-B-16-quickgelu', 'openai'),
    (dict(LIST_DIR='/lists', TRAIN_LIST='t.txt', VAL_LIST='v.txt',
          VIDEO_DIR='/clips', CLASS_FILE='/lists/names.csv',
          ARCH='ViT-B-32-quickgelu', PRETRAINED='/data/clip.pt'),
     ('/lists/t.txt', '/lists/v.txt', '/lists/names.csv', '/clips'),
     'ViT-B-32-quickgelu', '/data/clip.pt')])
def test_places(read, knobs, places, arch, pretrained):
    train_list, val_list, classes, videos = places
    cfg = read('vifi_k400', **knobs)
    classifier = cfg.model.cls_head.text_classifier
    files = [(classifier.class_file, classes)]
    for part, listed in dict(train=train_list, val=val_list,
                             test=val_list).items():
        dataset = cfg[f'{part}_dataloader'].dataset
        files += [(dataset.ann_file, listed), (dataset.class_file, classes)]
        assert dataset.data_prefix.video == videos
    for file, expected in files:
        assert Path(file).resolve() == (ROOT.parent / expected).resolve()
    for part in cfg.model.backbone, classifier:
        assert (part.arch, part.pretrained) == (arch, pretrained)


@pytest.mark.parametrize('knobs, tag, mean, std', [
    (dict(ARCH='ViT-B-16-SigLIP2'), 'webli', 127.5, 127.5),
    (dict(ARCH='ViT-B-16-SigLIP2', PRETRAINED='a.safetensors'),
     'a.safetensors', 127.5, 127.5),
    (dict(ARCH='PE-Core-B-16', METHOD='actionclip'), 'meta', 127.5, 127.5),
    (dict(ARCH='PE-Core-B-16', PIXELS='imagenet'), 'meta', 123.675, 58.395),
    (dict(ARCH='MobileCLIP-S1', AUX='taco'), 'datacompdr', 0, 255),
    (dict(ARCH='ViT-B-16', PRETRAINED='laion2b_s34b_b88k'),
     'laion2b_s34b_b88k', 123.675, 58.395),
    (dict(ARCH='ViT-B-16', PRETRAINED='laion2b_s34b_b88k', PIXELS='clip'),
     'laion2b_s34b_b88k', 122.771, 68.501),
    (dict(ARCH='my.json', PRETRAINED='none', PIXELS='clip'), None, 122.771,
     68.501)])
def test_pixels_are_the_towers(read, knobs, tag, mean, std, tmp_path,
                               monkeypatch):
    """Its own, as OpenCLIP knows them, unless they are CLIP's, for which the
    paper has ImageNet's."""
    monkeypatch.chdir(tmp_path)
    Path('my.json').write_text(json.dumps(tiny_arch()))
    for entry in 'vifi_zero_shot', 'vifi_retrieval':
        if entry == 'vifi_retrieval' and {'METHOD', 'AUX'} & knobs.keys():
            continue
        model = read(entry, **knobs).model
        pixels = model.data_preprocessor
        pixels = pixels.get('preprocessors', dict(imgs=pixels))['imgs']
        assert (pixels.mean[0], pixels.std[0]) == (mean, std)
        for part in model.backbone, model.cls_head.text_classifier:
            assert (part.arch, part.pretrained) == (knobs['ARCH'], tag)


@pytest.mark.parametrize('arch, templates', [
    ('PE-Core-B-16', 'actions'), ('ViT-L-14-quickgelu', '{}')])
def test_templates_of_frozen_towers(read, arch, templates):
    text = read('vifi_zero_shot', ARCH=arch, TUNE='none'
                ).model.cls_head.text_classifier
    assert text.templates == templates


def test_zero_shot_sets(read):
    sets = read('vifi_zero_shot').test_cfg.sets
    assert [test_set.name for test_set in sets] == [
        f'{name}_{n}' for name in ('hmdb51', 'ucf101', 'k600')
        for n in (1, 2, 3)]
    for one in sets:
        assert one.group == one.name[:-2] and Path(one.class_file).is_file()
        assert one.data_prefix.video == f'data/{one.group}/videos'
    only, = read('vifi_zero_shot', EVAL='ucf101', SPLIT='2').test_cfg.sets
    assert only.ann_file.endswith('data_splits/ucf101/val_split2.txt')


@pytest.mark.parametrize('entry, knob, value', [
    ('vifi_k400', 'TUNE', 'imge'), ('vifi_k400', 'FUSION', 'mean'),
    ('vifi_k400', 'PIXELS', 'none'), ('vifi_k400', 'TEMPLATE', 'a {}'),
    ('vifi_zero_shot', 'EVAL', 'hmdb'), ('vifi_zero_shot', 'SPLIT', '4'),
    ('vifi_few_shot', 'SHOTS', '0'), ('vifi_few_shot', 'SEED', 'one'),
    ('vifi_few_shot', 'DATASET', 'ucf'),
    ('vifi_few_shot', 'CLASS_TEXT', 'camel'),
    ('vifi_retrieval', 'TUNE', 'prompts'), ('mini_retrieval', 'TUNE', 'lora'),
    ('vifi_mini', 'PROTOCOL', 'fewshot')])
def test_bad_knobs(read, entry, knob, value):
    with pytest.raises(ValueError, match=f'{knob}={value}'):
        read(entry, PRETRAINED='none', **{knob: value})


def test_knobs_in_the_help_of_train(read):
    words = shlex.split(train._EPILOG, comments=True)
    knobs = dict(word.split('=') for word in words if '=' in word)
    cfg = read('vifi_few_shot', **knobs)
    assert knobs['TUNE'] == cfg.model.tune == 'prompts'


@pytest.mark.parametrize('knobs, template', [
    (dict(), 'a photo of a {}.'), (dict(TUNE='none'), '{}'),
    (dict(TUNE='none', TEMPLATE='photo'), 'a photo of a {}.'),
    (dict(TEMPLATE='name'), '{}')])
def test_templates(read, knobs, template):
    """The release tests frozen CLIP with the bare class name."""
    cfg = read('vifi_few_shot', **knobs)
    assert cfg.model.cls_head.text_classifier.templates == template
    with pytest.raises(ValueError, match='PRETRAINED=CHECKPOINT'):
        read('vifi_few_shot', TUNE='prompts')  # without a bridge


@pytest.mark.parametrize('knobs, expected', [
    (dict(), dict(templates='product', random_template='shared',
                  always_templates=['{description}'])),
    (dict(TEMPLATE='sentences'), dict(templates='sentences')),
    (dict(TEMPLATE='photo'), dict(templates='a photo of a {description}.')),
    (dict(TUNE='prompts'), dict(templates='{description}')),
    (dict(METHOD='xclip', TEMPLATE='name'), dict(templates='{description}'))])
def test_descriptions(read, knobs, expected):
    cfg = read('vifi_few_shot', DESCRIPTIONS='a.json,b.csv',
               PRETRAINED='none', **knobs)
    text = cfg.model.cls_head.text_classifier
    assert {name: text[name] for name in text if 'templ' in name or name in (
        'description_file', )} == dict(
            expected, description_file=['a.json', 'b.csv'])
    assert 'texts' not in cfg


@pytest.mark.parametrize('knobs', [
    dict(TEMPLATE='product'), dict(TEMPLATE='sentences'),
    dict(TEMPLATE='actions', DESCRIPTIONS='a.json'),
    dict(TEMPLATE='actions', TUNE='prompts'),
    dict(DESCRIPTIONS='a.json', METHOD='actionclip'),
    dict(DESCRIPTIONS='a.json', METHOD='a6')])
def test_texts_that_do_not_go_together(read, knobs):
    name, value = list(knobs.items())[0]
    with pytest.raises(ValueError, match=f'{name}={value}'):
        read('vifi_few_shot', PRETRAINED='none', **knobs)


@pytest.mark.parametrize('entry', ['vifi_mini', 'vifi_zero_shot'])
def test_mean_over_epochs(read, entry):
    hooks = [hook.type for hook in read(entry).custom_hooks]
    mean = read(entry, EPOCH_MEAN=3).custom_hooks[len(hooks):]
    assert mean == [dict(type='EpochMeanHook', begin_epoch=3)]


def test_additions_of_the_small_world(read):
    cfg = read('vifi_mini', AUX='taco', DESCRIPTIONS='mini', DATA_ROOT='/d')
    loss, = cfg.model.auxiliary
    assert loss.teacher == dict(type='EMATeacher', momentum=1e-2)
    text = cfg.model.cls_head.text_classifier
    assert text.description_file == '/d/annotations/descriptions.txt'


@pytest.fixture(scope='module')
def mini(tmp_path_factory) -> dict:
    """Knobs: one clip of each class of the small world, 64 x 64 pixels."""
    root = tmp_path_factory.mktemp('mini_configs') / 'mini'
    build(root, WorldParams(train_per_class=1, test_per_class=1,
                            target_train_per_class=0, num_stills=8),
          workers=1)
    return dict(DATA_ROOT=root, MINI_CLIP='none')


def batch_of(model, loader, count) -> dict:
    dataset = DATASETS.build(loader.dataset)
    data = pseudo_collate([dataset[i] for i in range(count)])
    return model.data_preprocessor(data, training=False)


def test_small_clip_takes_a_step(read, mini):
    cfg = read('mini_clip', **mini)
    model = MODELS.build(cfg.model).train()
    batch = batch_of(model, cfg.train_dataloader, 8)
    assert batch['inputs'].shape == (8, 1, 3, 60, 60)
    model(**batch, mode='loss')['loss_cls'].backward()
    tokens = model.cls_head.text_classifier.text.token_embedding.weight
    assert 0 < tokens.grad.abs().sum() < float('inf')


def test_small_world_views(read, mini):
    cfg = read('vifi_mini', **mini)
    model = MODELS.build(cfg.model).eval()
    batch = batch_of(model, cfg.test_dataloader, 2)
    assert batch['inputs'].shape == (2, 12 * 8, 3, 60, 60)
    with torch.no_grad():
        score = model(**batch, mode='predict')[0].pred_score
    assert score.shape == (24, ) and abs(float(score.sum()) - 1) < 1e-5


def test_small_retrieval_takes_a_step(read, mini):
    cfg = read('mini_retrieval', TUNE='image', SEED=2, **mini)
    assert cfg.randomness.seed == 2
    model = MODELS.build(cfg.model).train()
    for part in 'train', 'test':
        batch = batch_of(model, cfg[f'{part}_dataloader'], 5)
        assert batch['inputs']['imgs'].shape == (5, 8, 3, 60, 60)
        assert batch['inputs']['text'].shape == (5, 32)
        assert torch.isfinite(model(**batch, mode='loss')['loss_contrastive'])


METHODS = sorted(path.stem for path in (ROOT / '_base_/methods').glob('*.py'))
PROTOCOLS = [entry for entry in ENTRIES if entry in (
    'vifi_k400', 'vifi_zero_shot', 'vifi_base2novel', 'vifi_few_shot',
    'vifi_mini')]


@pytest.mark.parametrize('entry', PROTOCOLS)
@pytest.mark.parametrize('method', [m for m in METHODS if m != 'vifi'])
def test_every_method_under_every_protocol(read, entry, method):
    cfg = read(entry, METHOD=method)
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.to_dict() == cfg.to_dict() and 'recipe' not in cfg
    assert cfg.param_scheduler.end == cfg.train_cfg.max_epochs == cfg.epochs
    if entry != 'vifi_mini':
        for step in sum((cfg[f'{part}_pipeline']
                         for part in ('train', 'val', 'test')), []):
            frames = step.get('num_clips', step.get('num_frames'))
            assert frames in (None, cfg.model.cls_head.num_frames)
        assert cfg.auto_scale_lr.base_batch_size == (
            8 * cfg.train_dataloader.batch_size)
    text = cfg.model.cls_head.text_classifier
    assert text.get('class_file') and not text.get('class_names')


# Frames, temporal views, batch of 8 GPUs, accumulation, rate, decay, epochs.
@pytest.mark.parametrize('method, entry, expected', [
    ('actionclip', 'vifi_k400', (32, 10, 128, 1, 5e-6, 0.2, 50)),
    ('actionclip', 'vifi_zero_shot', (32, 1, 128, 1, 5e-6, 0.2, 50)),
    ('actionclip', 'vifi_base2novel', (32, 1, 64, 1, 5e-6, 0.2, 50)),
    ('actionclip', 'vifi_few_shot', (32, 1, 64, 1, 5e-6, 0.2, 50)),
    ('a6', 'vifi_k400', (16, 5, 32, 2, 1e-4, 0.01, 30)),
    ('a5', 'vifi_zero_shot', (16, 1, 32, 2, 1e-4, 0.01, 10)),
    ('a5', 'vifi_base2novel', (16, 1, 32, 2, 1e-4, 0.01, 86)),
    ('a5', 'vifi_few_shot', (16, 1, 32, 2, 1e-4, 0.01, 86))])
def test_settings_of_the_methods(read, method, entry, expected):
    cfg = read(entry, METHOD=method)
    sampler, = [step for step in cfg.test_pipeline if 'Sample' in step.type]
    wrapper = cfg.optim_wrapper
    assert expected == (
        cfg.model.cls_head.num_frames, sampler.num_views,
        8 * cfg.train_dataloader.batch_size,
        wrapper.get('accumulative_counts', 1), wrapper.optimizer.lr,
        wrapper.optimizer.weight_decay, cfg.epochs)
    assert wrapper.optimizer.betas == (
        (0.9, 0.98) if method == 'actionclip' else (0.9, 0.999))
    assert wrapper.dtype == 'bfloat16'
    head, pixels = cfg.model.cls_head, cfg.model.data_preprocessor
    assert head.label_smooth_eps == 0 and pixels.blending is None
    assert pixels.mean == [122.771, 116.746, 104.094]
    assert head.temporal.depth == dict(actionclip=6, a5=1, a6=2)[method]
    few = read(entry, METHOD=method, NUM_FRAMES=8, PIXELS='imagenet')
    assert few.model.cls_head.num_frames == 8
    assert few.model.data_preprocessor.mean == [123.675, 116.28, 103.53]


@pytest.mark.parametrize('entry, frames, batch, lr, epochs', [
    ('vifi_k400', 16, 256, 8e-6, 30), ('vifi_zero_shot', 32, 256, 8e-6, 30),
    ('vifi_base2novel', 32, 64, 2e-6, 11), ('vifi_few_shot', 32, 64, 2e-6,
                                            50)])
def test_settings_of_x_clip(read, entry, frames, batch, lr, epochs):
    cfg = read(entry, METHOD='xclip')
    wrapper = cfg.optim_wrapper
    assert (frames, batch, lr, epochs) == (
        cfg.model.cls_head.num_frames, 8 * cfg.train_dataloader.batch_size
        * wrapper.accumulative_counts, wrapper.optimizer.lr, cfg.epochs)
    assert wrapper.optimizer.weight_decay == 0.001
    assert wrapper.optimizer.betas == (0.9, 0.98)
    assert cfg.param_scheduler.one_minimum and cfg.param_scheduler.warmup == 5
    assert cfg.model.tune == 'image' and cfg.model.data_preprocessor.blending
    assert cfg.model.cls_head.label_smooth_eps == 0.1
    with pytest.raises(ValueError, match='METHOD=xclip'):
        read('vifi_cached', ENTRY=entry, TUNE='image')


@pytest.mark.parametrize('entry, views, epochs', [
    ('vifi_k400', 3, 22), ('vifi_zero_shot', 1, 22),
    ('vifi_base2novel', 1, 11), ('vifi_few_shot', 1, 50)])
def test_settings_of_open_vclip(read, monkeypatch, entry, views, epochs):
    cfg = read(entry, METHOD='open_vclip')
    sampler, = [step for step in cfg.test_pipeline if 'Sample' in step.type]
    model, wrapper = cfg.model, cfg.optim_wrapper
    optimizer = wrapper.optimizer
    assert (cfg.epochs, 8 * cfg.train_dataloader.batch_size, sampler.num_views,
            model.cls_head.num_frames) == (epochs, 64, views, 8)
    assert (optimizer.lr, optimizer.betas, optimizer.eps,
            optimizer.weight_decay) == (3.33e-6, (0.9, 0.999), 1e-8, 0.01)
    assert 'accumulative_counts' not in wrapper
    assert wrapper.clip_grad == dict(max_norm=1.)
    scheduler = cfg.param_scheduler
    assert scheduler.warmup == 2 and scheduler.warmup_prefix
    assert scheduler.start_ratio == scheduler.eta_min_ratio == 0.01
    head, text = model.cls_head, model.cls_head.text_classifier
    assert (model.tune, model.logit_scale, head.fusion,
            head.label_smooth_eps) == ('image', True, 'decision', 0)
    assert text.templates == 'actions' and not text.random_template
    described = read(entry, METHOD='open_vclip', DESCRIPTIONS='texts.json')
    text = described.model.cls_head.text_classifier
    assert text.templates == 'product'
    assert model.data_preprocessor.blending is None
    assert cfg.custom_hooks[-1] == dict(
        type='InterpolatedGradientHook', max_ratio=0.6)
    monkeypatch.delenv('DESCRIPTIONS')
    plain = read(entry, METHOD='vifi').custom_hooks
    assert cfg.custom_hooks[:-1] == plain
    assert read(entry, METHOD='open_vclip', INTERPOLATE=0,
                ).custom_hooks == plain
    with pytest.raises(ValueError, match='METHOD=open_vclip'):
        read('vifi_cached', ENTRY=entry, TUNE='text')
    with pytest.raises(ValueError, match='METHOD=open_vclip'):
        read(entry, TUNE='prompts', PRETRAINED='none')


def test_what_open_vclip_trains(read, mini, tmp_path):
    """Norms and biases do not decay, the logit scale does."""
    cfg = read('vifi_mini', METHOD='open_vclip', **mini)
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(
        model, cfg.optim_wrapper).optimizer.param_groups
    decays = {id(p): group['weight_decay']
              for group in groups for p in group['params']}
    for name, param in model.named_parameters():
        trains = name.startswith(('backbone.', 'cls_head.logit_scale'))
        assert param.requires_grad == trains == (id(param) in decays)
        if trains:
            assert decays[id(param)] == (0 if param.ndim == 1 else 0.01)


@pytest.mark.parametrize('entry, views, epochs, batch, lr, warmup', [
    ('vifi_k400', 4, 30, 512, 22e-6, 5),
    ('vifi_zero_shot', 1, 10, 256, 8e-6, 5),
    ('vifi_base2novel', 1, 12, 64, 3.33e-6, 2),
    ('vifi_few_shot', 1, 50, 64, 2e-6, 5)])
def test_settings_of_tc_clip(read, monkeypatch, entry, views, epochs, batch,
                             lr, warmup):
    cfg = read(entry, METHOD='tc_clip')
    sampler, = [step for step in cfg.test_pipeline if 'Sample' in step.type]
    wrapper, model = cfg.optim_wrapper, cfg.model
    assert (cfg.epochs, 8 * cfg.train_dataloader.batch_size
            * wrapper.accumulative_counts, wrapper.optimizer.lr,
            cfg.param_scheduler.warmup, sampler.num_views,
            model.cls_head.num_frames) == (epochs, batch, lr, warmup, views,
                                           16)
    assert wrapper.optimizer.weight_decay == 0.001
    plain = read(entry, METHOD='vifi', NUM_FRAMES=16).model
    assert model.pop('backbone') == dict(
        plain.pop('backbone'), type='ContextBackbone', num_frames=None,
        length=96, ratio=0.3, step=100)
    assert model == plain
    monkeypatch.delenv('NUM_FRAMES')
    prompted = read(entry, METHOD='tc_clip', CONTEXT_PROMPTS='on',
                    DESCRIPTIONS='texts.json')
    text = prompted.model.cls_head.text_classifier
    assert (text.type, text.templates, text.random_template,
            prompted.model.backbone.give_context) == (
                'VideoTextClassifier', '{description}', False, True)
    assert {k: v.lr_mult for k, v in
            prompted.optim_wrapper.paramwise_cfg.custom_keys.items()} == {
                'cls_head.text_classifier.prompts': 10,
                'cls_head.text_classifier.prompt_layer': 10}
    with pytest.raises(ValueError, match='TEMPLATE=product'):
        read(entry, METHOD='tc_clip', TEMPLATE='product')
    for knob in 'CONTEXT_PROMPTS', 'DESCRIPTIONS', 'TEMPLATE':
        monkeypatch.delenv(knob)
    with pytest.raises(ValueError, match='CONTEXT_PROMPTS=yes'):
        read(entry, METHOD='tc_clip', CONTEXT_PROMPTS='yes')
    monkeypatch.delenv('CONTEXT_PROMPTS')
    with pytest.raises(ValueError, match='METHOD=tc_clip'):
        read(entry, METHOD='tc_clip', TUNE='prompts', PRETRAINED='none')
    with pytest.raises(ValueError, match='METHOD=tc_clip'):
        read('vifi_cached', ENTRY=entry, TUNE='text', METHOD='tc_clip')


# Frames, temporal views, batch of 8 GPUs, accumulation, rate, decay, warm-up,
# last rate, epochs.
@pytest.mark.parametrize('method, entry, expected', [
    ('st_adapter', 'vifi_k400', (8, 3, 64, 3, 7.5e-4, 0.01, 2, 0, 12)),
    ('st_adapter', 'vifi_few_shot', (8, 1, 64, 1, 2.5e-4, 0.01, 2, 0, 50)),
    ('aim', 'vifi_k400', (32, 3, 32, 2, 3e-4, 0.05, 2.5, 0, 30)),
    ('aim', 'vifi_base2novel', (32, 1, 32, 2, 3e-4, 0.05, 2.5, 0, 11)),
    ('lora', 'vifi_zero_shot', (32, 1, 32, 8, 2e-4, 0.01, 5, 0.01, 10)),
    ('lora', 'vifi_few_shot', (32, 1, 32, 2, 2e-4, 0.01, 5, 0.01, 50))])
def test_settings_of_adapters(read, method, entry, expected):
    """CLIP is frozen, and its names of classes are the classifier."""
    cfg = read(entry, **dict(TUNE='lora') if method == 'lora' else dict(
        METHOD=method))
    sampler, = [step for step in cfg.test_pipeline if 'Sample' in step.type]
    wrapper, schedule = cfg.optim_wrapper, cfg.param_scheduler
    assert expected == (
        cfg.model.cls_head.num_frames, sampler.num_views,
        8 * cfg.train_dataloader.batch_size,
        wrapper.get('accumulative_counts', 1), wrapper.optimizer.lr,
        wrapper.optimizer.weight_decay, schedule.warmup,
        schedule.eta_min_ratio, cfg.epochs)
    assert wrapper.optimizer.betas == (0.9, 0.999)
    assert cfg.model.tune == 'adapters'
    assert ('lora' in cfg.model) == (method == 'lora')
    assert (cfg.model.data_preprocessor.blending is None) == (method != 'lora')
    described = read(entry, DESCRIPTIONS='texts.json').model.cls_head
    assert described.text_classifier.templates == 'product'
    assert described.text_classifier.random_template == (
        'shared' if method == 'lora' else False)


def test_knobs_of_lora(read):
    cfg = read('vifi_few_shot', TUNE='lora', LORA_R='2', LORA_TOWERS='text',
               LORA_TARGETS='in_proj,c_fc', AUX='taco')
    assert cfg.model.lora == dict(rank=2, towers='text',
                                  targets=['in_proj', 'c_fc'])
    assert cfg.optim_wrapper.optimizer.lr == 2e-4  # and not TACO's
    with pytest.raises(ValueError, match='LORA_R=two'):
        read('vifi_few_shot', TUNE='lora', LORA_R='two')


def test_actionclip_heads(read):
    kinds = [read('vifi_k400', METHOD='actionclip', TEMPORAL=name)
             .model.cls_head.temporal for name in (
                 'transf', 'meanp', 'lstm', 'conv1d', 'transf_cls')]
    assert [kind and kind.type for kind in kinds] == [
        'TemporalTransformer', None, 'TemporalLSTM', 'TemporalConv',
        'TemporalClassToken']


@pytest.mark.parametrize('method, knob, value', [
    ('actionclip', 'TEMPORAL', 'tsm'), ('actionclip', 'TUNE', 'prompts'),
    ('actionclip', 'TEMPLATE', 'photo'), ('a5', 'TUNE', 'image'),
    ('a6', 'TEMPLATE', 'name'), ('actionclip', 'TUNE', 'lora'),
    ('tc_clip', 'TUNE', 'lora'), ('open_vclip', 'TUNE', 'lora'),
    ('aim', 'TUNE', 'image'), ('st_adapter', 'TUNE', 'lora')])
def test_knobs_that_do_not_go_with_a_method(read, method, knob, value):
    with pytest.raises(ValueError, match=f'{knob}={value}'):
        read('vifi_few_shot', METHOD=method, PRETRAINED='none',
             **{knob: value})


@pytest.mark.parametrize('entry', ['mini_clip', 'mini_retrieval',
                                   'small_world'])
def test_configs_that_have_no_methods(read, entry):
    with pytest.raises(ValueError, match='METHOD=a5'):
        read(entry, METHOD='a5')


@pytest.mark.parametrize('entry', ['mini_clip', 'mini_retrieval'])
def test_configs_that_have_no_auxiliary_losses(read, entry):
    with pytest.raises(ValueError, match='AUX=taco'):
        read(entry, AUX='taco')


# Batch of 8 GPUs, accumulation, rate, decay, epochs, and the rates of CLIP.
@pytest.mark.parametrize('aux, entry, expected', [
    ('taco', 'vifi_k400', (64, 3, 5e-5, 0.2, 15)),
    ('taco', 'vifi_zero_shot', (64, 3, 5e-5, 0.2, 15)),
    ('taco', 'vifi_base2novel', (32, 2, 2.67e-5, 0.2, 11)),
    ('taco', 'vifi_few_shot', (32, 2, 2.67e-5, 0.2, 50)),
    ('froster', 'vifi_k400', (64, 1, 3.33e-6, 0.01, 22)),
    ('froster', 'vifi_zero_shot', (64, 1, 3.33e-6, 0.01, 22)),
    ('froster', 'vifi_base2novel', (32, 1, 3.33e-6, 0.01, 12)),
    ('froster', 'vifi_few_shot', (32, 1, 3.33e-6, 0.01, 50))])
def test_settings_of_auxiliary_losses(read, aux, entry, expected):
    cfg = read(entry, AUX=aux)
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.to_dict() == cfg.to_dict() and 'recipe' not in cfg
    wrapper, head = cfg.optim_wrapper, cfg.model.cls_head
    assert expected == (
        8 * cfg.train_dataloader.batch_size,
        wrapper.get('accumulative_counts', 1), wrapper.optimizer.lr,
        wrapper.optimizer.weight_decay, cfg.epochs)
    assert wrapper.optimizer.betas == (0.9, 0.999) and head.num_frames == 8
    assert head.label_smooth_eps == 0 and head.fusion == (
        'decision' if aux == 'froster' else 'embedding')
    pixels = cfg.model.data_preprocessor
    assert pixels.blending is None and pixels.mean == [
        122.771, 116.746, 104.094]
    assert cfg.param_scheduler.warmup_prefix
    loss, = cfg.model.auxiliary
    if aux == 'taco':
        assert (loss.num_anchors, loss.loss_weight) == (200, 0.4)
        assert loss.teacher.momentum == 2e-4
        assert {k: v.lr_mult for k, v in
                wrapper.paramwise_cfg.custom_keys.items()} == dict(
                    backbone=0.075, cls_head=0.075)
    else:
        assert (loss.residual, loss.loss_weight) == (0.1, 2.)
        assert loss.teacher.pretrained == 'openai'
        assert wrapper.clip_grad.max_norm == 1 and wrapper.paramwise_cfg == (
            dict(flat_decay_mult=0.))
    # a method keeps its own recipe, and has the loss
    own, both = read(entry, AUX='none', METHOD='actionclip'), read(
        entry, AUX=aux, METHOD='actionclip')
    assert both.optim_wrapper == own.optim_wrapper
    assert both.model.pop('auxiliary') and both.model == own.model


@pytest.mark.parametrize('protocol', ['zero_shot', 'base2novel'])
@pytest.mark.parametrize('knobs, texts, frames', [
    (dict(DESCRIPTIONS='a.json'), 'sentences', 8),
    (dict(NUM_FRAMES=16), 'actions', 16),
    (dict(TUNE='image', PIXELS='imagenet', TEMPLATE='photo'),
     'a photo of a {}.', 8)])
def test_recipes_are_taco_with_sentences_and_a_mean(
        read, monkeypatch, protocol, knobs, texts, frames):
    recipe = read(f'vifi_best_{protocol}', **knobs)
    again = Config.fromstring(recipe.pretty_text, '.py')
    assert again.to_dict() == recipe.to_dict()
    assert recipe.custom_hooks.pop() == dict(
        type='EpochMeanHook', begin_epoch=2)
    text = recipe.model.cls_head.text_classifier
    assert text.templates == texts and not text.pop('always_templates', None)
    if 'TEMPLATE' not in knobs:  # as TACO averages
        assert text.pop('average') == 'raw'
        assert text.get('random_template') == 'shared'
    assert text.pop('random_template', 'shared') == 'shared'
    plain = read(f'vifi_{protocol}', AUX='taco', **dict(knobs, TEMPLATE=(
        'photo' if 'TEMPLATE' in knobs else texts)))
    plain.model.cls_head.text_classifier.pop('random_template', None)
    recipe.pop('template'), plain.pop('template')
    assert recipe.to_dict() == plain.to_dict()
    assert plain.model.cls_head.num_frames == frames
    for name, value in dict(AUX='taco', METHOD='a5', TUNE='prompts').items():
        monkeypatch.setenv('AUX', 'none')
        with pytest.raises(ValueError, match=f'{name}={value}'):
            read(f'vifi_best_{protocol}', PRETRAINED='none', **{name: value})


@pytest.mark.parametrize('aux', ['taco', 'froster'])
def test_auxiliary_losses_on_the_small_world(read, mini, tmp_path, aux):
    """The projection has a rate of its own, and trains."""
    start = tmp_path / 'clip.pth'
    torch.save(MODELS.build(read('vifi_mini', **mini).model).state_dict(),
               start)
    cfg = read('vifi_mini', AUX=aux, **dict(mini, MINI_CLIP=start))
    model = MODELS.build(cfg.model).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {id(p): group['lr'] for group in wrapper.optimizer.param_groups
             for p in group['params']}
    new, = {rates[id(p)] for p in model.auxiliary.parameters()}
    clip, = {rates[id(p)] for p in model.backbone.parameters()}
    assert clip == pytest.approx(3e-4)
    assert new == (4e-3 if aux == 'taco' else clip)
    losses = model(**batch_of(model, cfg.train_dataloader, 3), mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert any(p.grad.any() for p in model.auxiliary.parameters())


@pytest.mark.parametrize('method', METHODS)
def test_a_method_trains_and_tests_on_the_small_world(read, mini, method):
    cfg = read('vifi_mini', METHOD=method, **mini)
    model = MODELS.build(cfg.model).train()
    loader = cfg.train_dataloader
    loss = model(**batch_of(model, loader, 3), mode='loss')['loss_cls']
    loss.backward()
    for name, param in model.named_parameters():
        if param.requires_grad and 'text_projection' not in name:
            assert param.grad is not None, name
    with torch.no_grad():
        scores = model.eval()(**batch_of(model, cfg.val_dataloader, 2),
                              mode='predict')[0].pred_score
    assert scores.shape == (24, ) and abs(float(scores.sum()) - 1) < 1e-5
