"""The command: what it takes, what it prints, and what it measures."""
import json
import os

import pytest
from commands import refused, vifi

from projects.vifi_clip_tools.complexity.count import Complexity
from projects.vifi_clip_tools.complexity.specs import load_spec, parse_spec
from projects.vifi_clip_tools.complexity.table import markdown, terminal


def test_knobs_are_for_one_config(monkeypatch):
    monkeypatch.setenv('TUNE', 'text')
    monkeypatch.delenv('PRETRAINED', raising=False)
    spec = parse_spec('vifi_k400:TUNE=image,NUM_FRAMES=8,model.backbone.a=3')
    assert spec.title == ['vifi_k400', 'TUNE=image', 'NUM_FRAMES=8',
                          'model.backbone.a=3']
    model = load_spec(spec).model
    assert (model.tune, model.cls_head.num_frames, model.backbone.a) == (
        'image', 8, 3)
    assert os.environ['TUNE'] == 'text' and 'PRETRAINED' not in os.environ
    cfg = load_spec(parse_spec('vifi_k400'))
    assert cfg.model.tune == 'text'
    # nothing to download
    assert cfg.model.backbone.pretrained is None
    assert cfg.model.cls_head.text_classifier.pretrained is None


def test_path_with_a_colon(tmp_path):
    path = tmp_path / 'a:b=c.py'
    path.write_text('model = dict(type="Recognizer2D", '
                    'backbone=dict(type="ResNet"))')
    assert load_spec(parse_spec(str(path))).model.backbone.type == 'ResNet'


@pytest.mark.parametrize('words, names', [
    ('nothing', 'nothing'),
    ('vifi_k400:TNUE=image', ('TNUE', 'TUNE')),
    ('vifi_k400:SHOTS=2', ('SHOTS', 'ARCH')),
    ('vifi_k400:TUNE=all', 'TUNE=all'),
    ('vifi_k400:TUNE', 'NAME=VALUE'),
    ('vifi_k400:model.bone.depth=3', 'model.bone.depth'),
    ('vifi_k400:model.backbone.dept=3', 'dept'),
    ('vifi_k400:ARCH=ViT-Z', 'ViT-Z'),
    ('none.py', 'none.py'), ('sizeless.py', 'sizeless.py'),
    # before the config is looked for
    ('no_such --json a.txt', '--json'),
    ('no_such --markdown /proc/x/a.md', '--markdown'),
    ('no_such --measure --repeats 0', '--repeats')])
def test_refusals(words, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'none.py').write_text('a = 1')
    (tmp_path / 'sizeless.py').write_text(
        "model = dict(type='Recognizer2D', backbone=dict(type='ResNet', "
        "depth=18), cls_head=dict(type='TSNHead', num_classes=3, "
        "in_channels=512))")
    refused(capsys, 'complexity', *words.split(), names=names)


def _figures(num):
    return [Complexity(
        [f'a_config_with_a_rather_long_name_{i}', 'TUNE=prompts',
         'ARCH=ViT-L-14-quickgelu'], 16, (224, 224), 400, 400, 77,
        dict(image=281 * 10**9, text=1192 * 10**9),
        dict(image=262 * 10**9, text=136 * 10**9),
        149620737, 25296896, 153600) for i in range(num)]


_MEASURED = dict(seconds=[2.], peak_bytes=2**31, views_per_second=dict(
    median=71.1, min=70., max=72.))


@pytest.mark.parametrize('num', [1, 2, 3, 4, 7])
@pytest.mark.parametrize('measured', [0, 1])
def test_table_fits_a_terminal(num, measured):
    text = terminal(_figures(num), [_MEASURED] * measured * num,
                    about='a machine' * measured)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert 'MACs' in lines[0]
    cells = text.partition('asked for: ')[0].split()
    for cell in ('281.0', '262.0', '149.6', '0.154', *['71.10'] * measured):
        assert cells.count(cell) == num
    assert 'ViT-L-14-' in text and 'quickgelu' in text


def test_conventions_and_failures():
    figures = _figures(2)
    text = terminal(figures, [_MEASURED, dict(error='no memory')], 'flops')
    assert text.startswith('GFLOPs: 2 per multiply-add')
    assert '562.0' in text and 'failed' in text
    assert 'was not measured: no memory' in ' '.join(text.split())
    table = markdown(figures).splitlines()
    assert '| frames x pixels | 16 x 224 x 224 | 16 x 224 x 224 |' in table
    assert {line.count('|') for line in table if line.startswith('|')} == {4}


def test_json(tmp_path, capsys):
    out = tmp_path / 'new' / 'a.json'
    argv = ['complexity', 'small_world', '--convention', 'flops', '--json',
            out]
    assert vifi(*argv) == 0
    assert '0.161' in capsys.readouterr().out
    record, = json.loads(out.read_text())['configs']
    assert 'measured' not in record
    assert record['run']['image'] < record['asked']['image']
    assert record['asked']['image'] == pytest.approx(0.161e9, rel=0.01)
    refused(capsys, *argv, names='--overwrite')


@pytest.mark.slow
def test_measured_for_real(tmp_path, capfd):
    out, table = tmp_path / 'a.json', tmp_path / 'a.md'
    assert vifi(
        'complexity', 'small_world',
        'small_world:model.data_preprocessor.format_shape=NCTHW', '--measure',
        '--repeats', '3', '--batch-size', '2', '--threads', '1', '--device',
        'cpu', '--json', out, '--markdown', table) == 1  # the second fails
    printed = capfd.readouterr()
    assert '5/5' in printed.err  # progress, warm-up included
    record, failed = json.loads(out.read_text())['configs']
    figures, seconds = record['measured'], record['measured']['seconds']
    assert len(seconds) == 3
    rates = figures['views_per_second']
    assert rates == dict(median=pytest.approx(2 / sorted(seconds)[1]),
                         min=2 / max(seconds), max=2 / min(seconds))
    # torch alone takes more than 100 MiB
    assert 100 * 2**20 < figures['peak_bytes'] < 8 * 2**30
    assert list(failed['measured']) == ['error']
    said = ' '.join(printed.out.split())
    assert 'NCTHW was not measured: ' in said and 'batch 2' in said
    assert '| views/s, median |' in table.read_text()
