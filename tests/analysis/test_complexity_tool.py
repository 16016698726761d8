"""The command: what it takes, what it prints, and what it measures."""
import json
import os
import re

import pytest

from projects.vifi_clip_tools.complexity.count import Complexity
from projects.vifi_clip_tools.complexity.measure import Job, measure
from projects.vifi_clip_tools.complexity.specs import load_spec, parse_spec
from projects.vifi_clip_tools.complexity.table import (markdown, number,
                                                       terminal)
from projects.vifi_clip_tools.complexity.command import main
from projects.vifi_clip.apis.config import run_main


def test_specs():
    spec = parse_spec('vifi_k400:TUNE=prompts,NUM_FRAMES=8,model.a.b=3')
    assert spec.config == 'vifi_k400'
    assert spec.knobs == dict(TUNE='prompts', NUM_FRAMES='8')
    assert spec.settings == {'model.a.b': 3}
    assert spec.title == ['vifi_k400', 'TUNE=prompts', 'NUM_FRAMES=8',
                          'model.a.b=3']


def test_knobs_are_for_one_config(monkeypatch):
    monkeypatch.setenv('TUNE', 'text')
    monkeypatch.delenv('PRETRAINED', raising=False)
    assert load_spec(parse_spec('vifi_k400:TUNE=image')).model.tune == 'image'
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
    assert parse_spec(str(path)).config == str(path)
    assert load_spec(parse_spec(str(path))).model.backbone.type == 'ResNet'


@pytest.mark.parametrize('spec,words', [
    ('nothing', "'nothing' does not exist"),
    ('vifi_k400:TNUE=image', 'has no knob TNUE; did you mean TUNE'),
    ('vifi_k400:SHOTS=2', 'has no knob SHOTS .it has ARCH'),
    ('vifi_k400:TUNE=all', 'TUNE=all: choose one of'),
    ('vifi_k400:TUNE', 'write CONFIG:NAME=VALUE'),
    ('vifi_k400:', 'write CONFIG:NAME=VALUE'),
    ('vifi_k400:model.bone.depth=3', 'has no model.bone.depth'),
    ('vifi_k400:model.backbone.dept=3', 'cannot be built: .*dept'),
    ('vifi_k400:ARCH=ViT-Z', "Unknown arch 'ViT-Z'"),
    ('{tmp}/none.py', 'model must be a dict with a type'),
    ('{tmp}/sizeless.py', 'frames a view has'),
])
def test_bad_specs(spec, words, tmp_path, capsys):
    (tmp_path / 'none.py').write_text('a = 1')
    (tmp_path / 'sizeless.py').write_text(
        "model = dict(type='Recognizer2D', backbone=dict(type='ResNet', "
        "depth=18), cls_head=dict(type='TSNHead', num_classes=3, "
        "in_channels=512))")
    assert run_main(main, [spec.format(tmp=tmp_path)]) == 2
    line, = capsys.readouterr().err.splitlines()
    assert re.search(f'^error: .*{words}', line)


@pytest.mark.parametrize('options,words', [
    (['--json', 'a.txt'], r'--json writes a .json file'),
    (['--markdown', '/proc/x/a.md'], '--markdown .* cannot be written')])
def test_bad_outputs(options, words, monkeypatch):
    from projects.vifi_clip_tools.complexity import specs as complexity_specs
    monkeypatch.setattr(complexity_specs, 'load_spec',
                        lambda spec: pytest.fail('worked first'))
    with pytest.raises(ValueError, match=words):
        main(['vifi_k400', *options])


def _figures(num):
    return [
        Complexity([f'a_config_with_a_rather_long_name_{i}', 'TUNE=prompts',
                    'ARCH=ViT-L-14-quickgelu'], 16, (224, 224), 400, 400, 77,
                   dict(image=281 * 10**9, text=1192 * 10**9),
                   dict(image=262 * 10**9, text=136 * 10**9),
                   149620737, 25296896, 153600) for i in range(num)]


_MEASURED = dict(seconds=[2.], peak_bytes=2**31, views_per_second=dict(
    median=71.1, min=70., max=72.))


@pytest.mark.parametrize('num', [1, 2, 3, 4, 7])
@pytest.mark.parametrize('measured', [False, True])
def test_table_fits_a_terminal(num, measured):
    figures = _figures(num)
    text = terminal(figures, [_MEASURED] * num if measured else [],
                    machine='a machine' if measured else '')
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert 'MACs' in lines[0]
    table = '\n'.join(lines[:lines.index('', 2)])
    for cell in '281.0', '262.0', '149.6', '0.154':
        assert table.count(cell) == num
    assert table.count('71.1') == num * measured
    assert 'ViT-L-14-' in table and 'quickgelu' in table
    assert '286.9' in text  # there are prompts


def test_conventions_and_failures():
    figures = _figures(2)
    text = terminal(figures, [_MEASURED, dict(error='no memory')], 'flops')
    assert text.startswith('GFLOPs: 2 per multiply-add')
    assert '562.0' in text and 'failed' in text
    assert 'was not measured: no memory' in ' '.join(text.split())
    table = markdown(figures).splitlines()
    assert table[4] == '| frames x pixels | ' + ' | '.join(
        ['16 x 224 x 224'] * 2) + ' |'
    assert {line.count('|') for line in table if line.startswith('|')} == {4}


@pytest.mark.parametrize('value,text', [
    (1191.9, '1191.9'), (281.015, '281.0'), (32.706, '32.71'),
    (0.1536, '0.154'), (0.0805, '0.0805'), (0, '0')])
def test_number(value, text):
    assert number(value) == text


def test_measured_for_real(tmp_path, capfd):
    out, table = tmp_path / 'a.json', tmp_path / 'new' / 'a.md'
    argv = ['small_world', '--measure', '--repeats', '3', '--batch-size', '2',
            '--threads', '1', '--device', 'cpu', '--json', str(out),
            '--markdown', str(table)]
    main(argv)
    said = capfd.readouterr()
    assert '5/5' in said.err  # progress, warm-up included
    record, = json.loads(out.read_text())['configs']
    found = record['measured']
    assert len(found['seconds']) == 3
    rates = found['views_per_second']
    assert rates['median'] == pytest.approx(2 / sorted(found['seconds'])[1])
    assert rates['min'] <= rates['median'] <= rates['max']
    # torch alone takes more than 100 MiB
    assert 100 * 2**20 < found['peak_bytes'] < 8 * 2**30
    assert record['run']['image'] < record['asked']['image']
    assert 'views/s, median' in said.out and 'batch 2' in said.out
    assert '| views/s, median |' in table.read_text()
    with pytest.raises(ValueError, match='exists; .*--overwrite'):
        main(argv)


def test_a_config_that_fails_is_told():
    found = measure(Job(parse_spec('small_world:model.backbone.nothing=1')))
    assert found.keys() == {'error'} and 'nothing' in found['error']


def test_failed_measurement_fails_the_command(monkeypatch, capsys):
    from projects.vifi_clip_tools.complexity import (
        measure as complexity_measure)
    monkeypatch.setattr(complexity_measure, 'measure',
                        lambda job: dict(error='no memory left'))
    with pytest.raises(SystemExit) as stop:
        main(['small_world', '--measure', '--device', 'cpu'])
    assert stop.value.code == 1
    assert 'not measured: no memory left' in capsys.readouterr().out
