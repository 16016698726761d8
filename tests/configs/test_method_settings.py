"""What METHOD and TUNE=lora set, and what goes with them."""
import pytest
from config_entries import METHODS, figures
from mmengine.config import Config

K400, ZERO_SHOT, NOVEL, FEW = ENTRIES_OF_THE_PAPER = (
    'vifi_k400', 'vifi_zero_shot', 'vifi_base2novel', 'vifi_few_shot')


@pytest.mark.parametrize('entry', [*ENTRIES_OF_THE_PAPER, 'vifi_mini'])
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


# As config_entries.figures: frames, temporal views, batch of 8 GPUs,
# accumulation, rate, decay, epochs, warm-up, last rate.
@pytest.mark.parametrize('method, entry, expected', [
    ('actionclip', K400, (32, 10, 128, 1, 5e-6, 0.2, 50, 5, 0)),
    ('actionclip', ZERO_SHOT, (32, 1, 128, 1, 5e-6, 0.2, 50, 5, 0)),
    ('actionclip', NOVEL, (32, 1, 64, 1, 5e-6, 0.2, 50, 5, 0)),
    ('actionclip', FEW, (32, 1, 64, 1, 5e-6, 0.2, 50, 5, 0)),
    ('a6', K400, (16, 5, 32, 2, 1e-4, 0.01, 30, 0, 1)),
    ('a5', ZERO_SHOT, (16, 1, 32, 2, 1e-4, 0.01, 10, 0, 1)),
    ('a5', NOVEL, (16, 1, 32, 2, 1e-4, 0.01, 86, 0, 1)),
    ('a5', FEW, (16, 1, 32, 2, 1e-4, 0.01, 86, 0, 1)),
    ('xclip', K400, (16, 4, 32, 8, 8e-6, 0.001, 30, 5, 0.01)),
    ('xclip', ZERO_SHOT, (32, 1, 32, 8, 8e-6, 0.001, 30, 5, 0.01)),
    ('xclip', NOVEL, (32, 1, 32, 2, 2e-6, 0.001, 11, 5, 0.01)),
    ('xclip', FEW, (32, 1, 32, 2, 2e-6, 0.001, 50, 5, 0.01)),
    ('open_vclip', K400, (8, 3, 64, 1, 3.33e-6, 0.01, 22, 2, 0.01)),
    ('open_vclip', ZERO_SHOT, (8, 1, 64, 1, 3.33e-6, 0.01, 22, 2, 0.01)),
    ('open_vclip', NOVEL, (8, 1, 64, 1, 3.33e-6, 0.01, 11, 2, 0.01)),
    ('open_vclip', FEW, (8, 1, 64, 1, 3.33e-6, 0.01, 50, 2, 0.01)),
    ('tc_clip', K400, (16, 4, 32, 16, 22e-6, 0.001, 30, 5, 0.01)),
    ('tc_clip', ZERO_SHOT, (16, 1, 32, 8, 8e-6, 0.001, 10, 5, 0.01)),
    ('tc_clip', NOVEL, (16, 1, 32, 2, 3.33e-6, 0.001, 12, 2, 0.01)),
    ('tc_clip', FEW, (16, 1, 32, 2, 2e-6, 0.001, 50, 5, 0.01)),
    ('st_adapter', K400, (8, 3, 64, 3, 7.5e-4, 0.01, 12, 2, 0)),
    ('st_adapter', FEW, (8, 1, 64, 1, 2.5e-4, 0.01, 50, 2, 0)),
    ('aim', K400, (32, 3, 32, 2, 3e-4, 0.05, 30, 2.5, 0)),
    ('aim', NOVEL, (32, 1, 32, 2, 3e-4, 0.05, 11, 2.5, 0)),
    ('lora', ZERO_SHOT, (32, 1, 32, 8, 2e-4, 0.01, 10, 5, 0.01)),
    ('lora', FEW, (32, 1, 32, 2, 2e-4, 0.01, 50, 5, 0.01))])
def test_figures_of_the_methods(read, method, entry, expected):
    cfg = read(entry, **dict(TUNE='lora') if method == 'lora' else dict(
        METHOD=method))
    assert figures(cfg) == expected
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    assert cfg.optim_wrapper.optimizer.betas == (
        (0.9, 0.98) if method in ('actionclip', 'xclip', 'tc_clip') else
        (0.9, 0.999))


@pytest.mark.parametrize('method, depth', [
    ('actionclip', 6), ('a5', 1), ('a6', 2)])
@pytest.mark.parametrize('entry', (K400, FEW))
def test_temporal_transformers(read, method, depth, entry):
    cfg = read(entry, METHOD=method)
    head, pixels = cfg.model.cls_head, cfg.model.data_preprocessor
    assert head.label_smooth_eps == 0 and pixels.blending is None
    assert pixels.mean == [122.771, 116.746, 104.094]
    assert head.temporal.depth == depth
    few = read(entry, METHOD=method, NUM_FRAMES=8, PIXELS='imagenet')
    assert few.model.cls_head.num_frames == 8
    assert few.model.data_preprocessor.mean == [123.675, 116.28, 103.53]


@pytest.mark.parametrize('entry', ENTRIES_OF_THE_PAPER)
def test_settings_of_x_clip(read, entry):
    cfg = read(entry, METHOD='xclip')
    assert cfg.param_scheduler.one_minimum
    assert cfg.model.tune == 'image' and cfg.model.data_preprocessor.blending
    assert cfg.model.cls_head.label_smooth_eps == 0.1
    with pytest.raises(ValueError, match='METHOD=xclip'):
        read('vifi_cached', ENTRY=entry, TUNE='image')


@pytest.mark.parametrize('entry', ENTRIES_OF_THE_PAPER)
def test_settings_of_open_vclip(read, monkeypatch, entry):
    cfg = read(entry, METHOD='open_vclip')
    model, wrapper, scheduler = (cfg.model, cfg.optim_wrapper,
                                 cfg.param_scheduler)
    assert wrapper.clip_grad == dict(max_norm=1.)
    assert scheduler.warmup_prefix and scheduler.start_ratio == 0.01
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


@pytest.mark.parametrize('entry', ENTRIES_OF_THE_PAPER)
def test_settings_of_tc_clip(read, monkeypatch, entry):
    model = read(entry, METHOD='tc_clip').model
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


@pytest.mark.parametrize('method', ['st_adapter', 'aim', 'lora'])
@pytest.mark.parametrize('entry', (K400, FEW))
def test_settings_of_adapters(read, method, entry):
    """CLIP is frozen, and its names of classes are the classifier."""
    cfg = read(entry, **dict(TUNE='lora') if method == 'lora' else dict(
        METHOD=method))
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
