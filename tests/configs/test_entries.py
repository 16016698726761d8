"""Every config parses, its figures are the paper's, its pipelines run, and
its knobs set what they name."""
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from config_entries import ENTRIES, ROOT, figures
from helpers import write_mp4
from mmengine.config import Config
from mmengine.dataset import Compose
from tiny import tiny_arch

from projects.vifi_clip_tools.run import train


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


# The table "Optimisation" of the paper's settings: T, batch of 8 GPUs,
# accumulation, lr. The epochs and the course of the rate are in
# tests/protocol.
@pytest.mark.parametrize('entry, knobs, expected', [
    ('vifi_zero_shot', dict(), (32, 32, 8, 8e-6)),
    ('vifi_zero_shot', dict(TUNE='image'), (32, 32, 8, 8e-6)),
    ('vifi_k400', dict(), (16, 32, 16, 22e-6)),
    ('vifi_k400', dict(TUNE='image'), (16, 32, 8, 8e-6)),
    ('vifi_k400', dict(TUNE='text'), (16, 32, 8, 8e-6)),
    ('vifi_base2novel', dict(), (32, 32, 2, 2e-6)),
    ('vifi_base2novel', dict(TUNE='prompts'), (32, 32, 2, 4e-2)),
    ('vifi_few_shot', dict(), (32, 32, 2, 2e-6)),
    ('vifi_few_shot', dict(TUNE='prompts'), (32, 32, 2, 8e-3))])
def test_settings_are_the_papers(read, entry, knobs, expected):
    cfg = read(entry, PRETRAINED='clip.pt', **knobs)
    frames, _, batch, *more = figures(cfg)
    assert (frames, batch, *more[:2]) == expected
    assert cfg.auto_scale_lr.base_batch_size == batch
    steps = {step.type: step for step in cfg.train_pipeline}
    assert steps['SampleFrames'].num_clips == frames
    steps = {step.type: step for step in cfg.test_pipeline}
    assert steps['SparseSampleViews'].num_frames == frames
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.betas, optimizer.eps,
            optimizer.weight_decay) == ('AdamW', (0.9, 0.98), 1e-8, 0.001)
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
    ('vifi_mini', 'PROTOCOL', 'fewshot'),
    *((entry, 'TRANSFORMS', value) for entry, value in (
        ('vifi_k400', 'gpu'), ('vifi_few_shot', 'cuda'), ('small_world', 'on'),
        ('vifi_cached', 'device'), ('mini_retrieval', 'device')))])
def test_bad_knobs(read, entry, knob, value):
    with pytest.raises(ValueError, match=f'{knob}={value}'):
        read(entry, PRETRAINED='none', **{knob: value})


@pytest.mark.parametrize('knobs', [
    {}, dict(METHOD='xclip'), dict(METHOD='aim'), dict(AUX='taco')])
@pytest.mark.parametrize('entry', [
    'vifi_k400', 'vifi_few_shot', 'vifi_zero_shot', 'vifi_base2novel',
    'vifi_mini'])
def test_transforms_on_the_device(read, entry, knobs):
    """All pipelines and the model, or none of them."""
    knobs = dict(knobs, PRETRAINED='none')
    plain, cfg = read(entry, **knobs), read(entry, TRANSFORMS='device',
                                            **knobs)
    for cfg, kind in (plain, 'ActionData'), (cfg, 'DeviceTransforms'):
        assert cfg.model.data_preprocessor.type.startswith(kind)
        for part in 'train', 'val', 'test':
            types = [step.type for step in
                     cfg[f'{part}_dataloader'].dataset.pipeline]
            put_off = [name for name in types if 'Deferrable' in name]
            assert bool(put_off) == (kind == 'DeviceTransforms')
            assert not put_off or not {'Resize', 'Flip', 'VideoDecode',
                                       'FormatShape'} & set(types)


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
