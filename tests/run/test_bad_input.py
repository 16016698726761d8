"""What a user gives wrongly stops before training, in one message."""
import pickle
import re
import sys

import pytest
import torch
from tiny import tiny_arch
from tools_world import REPO, settings_of, start


def _annotation(world, line: str) -> None:
    path = world / 'train.txt'
    lines = path.read_text().splitlines()
    lines[2] = line
    path.write_text('\n'.join(lines) + '\n')


def malformed_line(world, settings):
    _annotation(world, 'train_2.mp4')
    return r'train\.txt:3: no label', "'train_2.mp4'", 'path label'


def label_that_is_no_number(world, settings):
    _annotation(world, 'train_2.mp4 two')
    return r'train\.txt:3', "'two'", 'class indices from 0'


def label_out_of_range(world, settings):
    _annotation(world, 'train_2.mp4 4')
    return r'train\.txt:3', 'label 4', r'0\.\.3', 'correct the line'


def duplicate_classes(world, settings):
    (world / 'classes.txt').write_text('a\nb\nc\nb\n')
    return r'classes\.txt', "'b'", 'line 2 and at line 4', 'rename'


def empty_class(world, settings):
    (world / 'classes.txt').write_text('a\n\nc\nd\n')
    return r'classes\.txt, line 2', 'empty class name', 'give the class'


def no_video_folder(world, settings):
    (world / 'videos').rename(world / 'clips')
    return f'no video folder .{world}/videos', 'data_prefix'


def no_annotation_file(world, settings):
    (world / 'train.txt').unlink()
    return f'no annotation file .{world}/train.txt', 'ann_file'


def unknown_arch(world, settings):
    for part in _towers(settings):
        part['arch'] = 'ViT-B-17'
    return "'ViT-B-17'", 'list_models|ViT-B-16'


def arch_without_a_part(world, settings):
    for part in _towers(settings):
        part['arch'] = dict(embed_dim=32)
    return 'vision_cfg', 'text_cfg'


def prompts_too_deep(world, settings):
    backbone, _ = _towers(settings)
    backbone.update(
        type='VLDeepPromptBackbone', prompts=dict(length=2, depth=9))
    return 'depth', '9', '2'


def misspelt_prompt_setting(world, settings):
    _, classifier = _towers(settings)
    classifier['prompts'] = dict(lenght=2, depth=1)
    return ('lenght', )


def prompts_tuned_but_absent(world, settings):
    settings['model']['tune'] = 'prompts'
    return "tune='prompts'", 'VLDeepPromptBackbone'


def unknown_tune(world, settings):
    settings['model']['tune'] = 'all'
    return "'all'", 'both'


def prompt_too_long(world, settings):
    names = ['archery', 'b', 'c', 'word ' * 30]
    (world / 'classes.txt').write_text('\n'.join(names) + '\n')
    _towers(settings)[1].update(
        class_names=None, class_file=f'{world}/classes.txt')
    return 'word word', '24'


def no_pretrained_file(world, settings):
    _towers(settings)[0]['pretrained'] = f'{world}/clip.pt'
    return f'{world}/clip.pt', 'no such file'


def unknown_model(world, settings):
    settings['model']['type'] = 'ViFiCLP'
    return ('ViFiCLP is not in the', )


def _towers(settings) -> tuple:
    model = settings['model']
    return model['backbone'], model['cls_head']['text_classifier']


@pytest.mark.parametrize('damage', [
    malformed_line, label_that_is_no_number, label_out_of_range,
    duplicate_classes, empty_class, no_video_folder, no_annotation_file,
    unknown_arch, arch_without_a_part, prompts_too_deep,
    misspelt_prompt_setting, prompts_tuned_but_absent, unknown_tune,
    prompt_too_long, no_pretrained_file, unknown_model
], ids=lambda damage: damage.__name__)
def test_training_does_not_start(tools, world, write_config, tmp_path, capsys,
                                 damage):
    settings = settings_of(world)
    named = damage(world, settings)
    config = write_config(root=world, model=settings['model'])
    code = tools.code_of_train(config, '--work-dir', tmp_path / 'run')
    _refused(code, capsys.readouterr().err, named)
    assert not list(tmp_path.glob('run/**/*.pth'))
    assert 'Epoch(train)' not in ''.join(
        p.read_text() for p in tmp_path.glob('run/*/*.log'))


def _refused(code, text, named) -> None:
    assert code == 2
    assert len(re.findall('^error: ', text, re.M)) == 1, text
    assert 'Traceback' not in text, text
    for pattern in named:
        assert re.search(pattern, text), f'{pattern!r} is not in: {text}'


def test_a_checkpoint_of_another_architecture(tools, write_config, tmp_path,
                                              capsys):
    settings = settings_of(tmp_path)
    wide = tiny_arch(vision_cfg=dict(width=96), text_cfg=dict(layers=3))
    for part in _towers(settings):
        part['arch'] = wide
    tools.train(write_config('wide', model=settings['model']), '--work-dir',
                tmp_path / 'wide')
    checkpoint = tmp_path / 'wide' / 'epoch_1.pth'
    code = tools.code_of_test(write_config(), checkpoint, '--work-dir',
                              tmp_path / 'test')
    _refused(code, capsys.readouterr().err,
             ['of another shape', r'class_embedding: file \(96,\), model '
              r'\(64,\)', r'unknown to the model: \S*resblocks\.2',
              'Use the config'])


def test_untrusted_and_absent_files(tools, write_config, tmp_path, capsys):
    config, evil = write_config(), tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, meta=pickle.PickleError), evil)
    for checkpoint, named in {
            evil: [str(evil), 'PickleError', '--trust'],
            tmp_path / 'no.pth': ["no.pth' does not exist"]
    }.items():
        code = tools.code_of_test(config, checkpoint, '--work-dir',
                                  tmp_path / 'test')
        _refused(code, capsys.readouterr().err, named)
    for main in tools.code_of_train, lambda path: tools.code_of_test(
            path, 'none'):
        code = main(tmp_path / 'no.py')
        _refused(code, capsys.readouterr().err, ["no.py' does not exist"])


def test_trust_is_for_one_run(tools, write_config, tmp_path, capsys):
    config, run = write_config(), tmp_path / 'run'
    tools.train(config, '--work-dir', run)
    content = torch.load(run / 'epoch_1.pth')
    content['meta']['extra'] = pickle.PickleError
    torch.save(content, run / 'evil.pth')
    command = config, run / 'evil.pth', '--work-dir', tmp_path / 'test'
    assert tools.code_of_test(*command, '--trust') == 0
    assert tools.code_of_test(*command) == 2
    assert '--trust' in capsys.readouterr().err


def test_the_command_itself(world, write_config, tmp_path):
    """From another directory: exit code, one message, no traceback."""
    label_out_of_range(world, {})
    process = start(sys.executable, REPO / 'tools/train.py',
                    write_config(root=world), '--work-dir', 'run',
                    cwd=tmp_path)
    output, _ = process.communicate(timeout=120)
    assert 'train.txt:3' in output.splitlines()[-1]
    _refused(process.returncode, output, ['label 4'])
    assert not list(tmp_path.glob('run/**/*.pth'))
