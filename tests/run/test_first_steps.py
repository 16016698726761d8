"""A newcomer's way without CLIP's weights: ARCH=small_world."""
import json

import numpy as np
import pytest
import torch
from commands import refused, vifi
from helpers import write_mp4
from safetensors.torch import load_file
from tiny import build_model

from projects.vifi_clip.architectures import build_tokenizer, get_arch_cfg
from projects.vifi_clip.engine.new_words import NewWordsHook, fill_empty_rows
from projects.vifi_clip.models import towers

CLASSES = dict(chop=(200, 40, 40), stir=(40, 200, 40), knead=(40, 40, 200))
TABLE = 'cls_head.text_classifier.text.token_embedding.weight'


@pytest.fixture(scope='module')
def kitchen(tmp_path_factory):
    """A folder with three clips of each class, and a CSV file of them."""
    root = tmp_path_factory.mktemp('kitchen')
    rng, rows = np.random.default_rng(0), ['path,label']
    for name, colour in CLASSES.items():
        for i in range(3):
            frames = np.array(colour) + rng.integers(-30, 30, (6, 48, 64, 3))
            write_mp4(root / f'{name}_{i}.mp4', frames=frames.astype(np.uint8))
            rows.append(f'{name}_{i}.mp4,{name}')
    (root / 'kitchen.csv').write_text('\n'.join(rows) + '\n')
    return root


def test_from_a_csv_file_to_predictions(kitchen, tmp_path, monkeypatch,
                                        capsys):
    lists, run = tmp_path / 'lists', tmp_path / 'run'
    assert vifi('splits', 'kitchen', '--csv', kitchen / 'kitchen.csv', '--out',
                lists, '--shots', 2) == 0
    with monkeypatch.context() as knobs:
        for name, value in dict(
                ARCH='small_world', LIST_DIR=lists, VIDEO_DIR=kitchen,
                DATASET='kitchen', SHOTS=2, NUM_FRAMES=4, WORKERS=0).items():
            knobs.setenv(name, str(value))
        assert vifi('train', 'vifi_few_shot', '--work-dir', run,
                    '--cfg-options', 'optim_wrapper.optimizer.lr=3e-4',
                    'train_cfg.max_epochs=2', 'train_cfg.val_interval=2',
                    'optim_wrapper.accumulative_counts=1') == 0
        # in the same shell, whose settings are the model's
        command = ['predict', kitchen / 'stir_1.mp4', '--model', run / 'model',
                   '--device', 'cpu']
        assert vifi(*command) == 0
        knobs.setenv('NUM_FRAMES', '8')
        refused(capsys, *command, names='NUM_FRAMES=8')
    assert vifi('test', run / 'vifi_few_shot.py', run / 'epoch_2.pth') == 0
    assert vifi('predict', kitchen / 'stir_1.mp4', '--model', run / 'model',
                '--out', tmp_path / 'out.jsonl', '--device', 'cpu') == 0
    result = json.loads((tmp_path / 'out.jsonl').read_text())
    assert sorted(result['labels']) == sorted(CLASSES)
    assert len(set(result['scores'])) == 3

    # its own words have embeddings now, others stay unknown
    tokenizer = build_tokenizer('small_world')
    table = load_file(run / 'model/model.safetensors')[TABLE]
    for word in CLASSES:
        assert table[tokenizer.encode(word)].any(-1).all()
    assert not table[tokenizer.encode('zumba')].any()


def test_the_way_out_is_named(kitchen, tmp_path, monkeypatch, capsys):
    def unreachable(cfg):
        raise OSError('no network')

    monkeypatch.setattr(towers, 'download_pretrained', unreachable)
    with pytest.raises(towers.UserError, match='ARCH=small_world'):
        towers.resolve_pretrained('ViT-B-16-quickgelu', 'openai')
    monkeypatch.setenv('ARCH', 'small_word')
    assert 'small_world' in refused(capsys, 'train', 'vifi_few_shot')


def test_the_architecture_is_known_by_name():
    assert get_arch_cfg('small_world')['vision_cfg']['image_size'] == 60
    assert towers.resolve_pretrained(
        'small_world', 'vifi-clip://small_world')


def test_unknown_words_start_apart():
    model = build_model()
    text = model.cls_head.text_classifier
    text.set_classes(['cook', 'dance', 'swim'])  # a word each
    table = text.text.token_embedding.weight
    rows = text.tokenizer.encode(' '.join(text.class_names))
    other = text.tokenizer.encode('zumba')
    with torch.no_grad():
        table[rows] = table[other] = 0
    assert not torch.pdist(text()).any()  # which keeps embeddings

    said = []
    runner = type('Runner', (), dict(model=model, logger=type(
        'Logger', (), dict(warning=said.append))))
    NewWordsHook().before_train(runner)
    assert len(said) == 1
    assert torch.pdist(text()).gt(1e-3).all()
    assert not table[other].any()
    kept = table.clone()
    NewWordsHook().before_train(runner)
    assert len(said) == 1 and torch.equal(table, kept)


def test_the_noise_has_the_spread_of_the_others():
    torch.manual_seed(0)
    weight = torch.cat([.02 * torch.randn(50, 64), torch.zeros(50, 64)])
    assert fill_empty_rows(weight, torch.arange(40, 90)) == 40
    assert weight[50:90].std().item() == pytest.approx(.02, rel=.1)
    assert not weight[90:].any()
    assert fill_empty_rows(torch.zeros(4, 2), torch.arange(4)) == 0
