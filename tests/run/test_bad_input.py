"""What a user gives wrongly stops before training, in one message."""
import pickle
import re

import pytest
import torch
from commands import refused
from tiny import tiny_arch
from tools_world import settings_of


def lines(world, settings, file, text):
    (world / file).write_text(text)


def line_3(world, settings, text):
    path = world / 'train.txt'
    rows = path.read_text().splitlines()
    path.write_text('\n'.join([*rows[:2], text, *rows[3:], '']))


def away(world, settings, name):
    (world / name).rename(world / 'gone')


def model(world, settings, **changes):
    settings['model'].update(changes)


def towers(world, settings, **changes):
    for part in _towers(settings):
        part.update(changes)


def image(world, settings, **changes):
    _towers(settings)[0].update(changes)


def text(world, settings, **changes):
    _towers(settings)[1].update(changes)


def long_class(world, settings):
    lines(world, settings, 'classes.txt', f'a\nb\nc\n{"word " * 30}\n')
    text(world, settings, class_names=None, class_file=f'{world}/classes.txt')


def _towers(settings) -> tuple:
    model = settings['model']
    return model['backbone'], model['cls_head']['text_classifier']


@pytest.mark.parametrize('damage, change, named', [
    (line_3, dict(text='train_2.mp4'), ['train.txt:3', "'train_2.mp4'"]),
    (line_3, dict(text='train_2.mp4 two'), ['train.txt:3', "two'"]),
    (line_3, dict(text='train_2.mp4 4'), ['train.txt:3', 'label 4']),
    (lines, dict(file='classes.txt', text='a\nb\nc\nb\n'),
     ['classes.txt', "'b'", 'line 2', 'line 4']),
    (lines, dict(file='classes.txt', text='a\n\nc\nd\n'),
     ['classes.txt, line 2']),
    (away, dict(name='videos'), ['videos', 'data_prefix']),
    (away, dict(name='train.txt'), ['train.txt', 'ann_file']),
    (towers, dict(arch='ViT-B-17'), ["'ViT-B-17'"]),
    (towers, dict(arch=dict(embed_dim=32)), ['vision_cfg', 'text_cfg']),
    (image, dict(type='VLDeepPromptBackbone',
                 prompts=dict(length=2, depth=9)), ['depth', '9', '2']),
    (text, dict(prompts=dict(lenght=2, depth=1)), ['lenght']),
    (model, dict(tune='prompts'), ["tune='prompts'",
                                   'VLDeepPromptBackbone']),
    (model, dict(tune='all'), ["'all'", 'both']),
    (long_class, {}, ['word word', '24']),
    (image, dict(pretrained='gone/clip.pt'), ['gone/clip.pt']),
    (model, dict(type='ViFiCLP'), ['ViFiCLP'])])
def test_training_does_not_start(world, write_config, tmp_path, capsys,
                                 damage, change, named):
    settings = settings_of(world)
    damage(world, settings, **change)
    config = write_config(root=world, model=settings['model'])
    said = refused(capsys, 'train', config, '--work-dir', tmp_path / 'run',
                   names=named)
    assert len(re.findall('^error: ', said, re.M)) == 1
    assert 'Traceback' not in said
    assert not list(tmp_path.glob('run/**/*.pth'))
    assert 'Epoch(train)' not in ''.join(
        p.read_text() for p in tmp_path.glob('run/*/*.log'))


def test_a_checkpoint_of_another_architecture(tools, write_config, tmp_path,
                                              capsys):
    settings = settings_of(tmp_path)
    towers(None, settings, arch=tiny_arch(vision_cfg=dict(width=96),
                                          text_cfg=dict(layers=3)))
    tools.train(write_config('wide', model=settings['model']), '--work-dir',
                tmp_path / 'wide')
    refused(capsys, 'test', write_config(), tmp_path / 'wide/epoch_1.pth',
            '--work-dir', tmp_path / 'test',
            names=['class_embedding', '(96,)', '(64,)', 'resblocks.2'])


def test_untrusted_and_absent_files(write_config, tmp_path, capsys):
    config, evil = write_config(), tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, meta=pickle.PickleError), evil)
    for checkpoint, named in ((evil, [evil, 'PickleError', '--trust']),
                              (tmp_path / 'no.pth', 'no.pth')):
        refused(capsys, 'test', config, checkpoint, '--work-dir',
                tmp_path / 'test', names=named)
    refused(capsys, 'train', tmp_path / 'no.py', names='no.py')
    refused(capsys, 'test', tmp_path / 'no.py', 'none', names='no.py')


def test_trust_is_for_one_run(tools, write_config, tmp_path, capsys):
    config, run = write_config(), tmp_path / 'run'
    tools.train(config, '--work-dir', run)
    content = torch.load(run / 'epoch_1.pth')
    content['meta']['extra'] = pickle.PickleError
    torch.save(content, run / 'evil.pth')
    command = config, run / 'evil.pth', '--work-dir', tmp_path / 'test'
    assert tools.code_of_test(*command, '--trust') == 0
    refused(capsys, 'test', *command, names='--trust')


def test_what_a_checkpoint_was_made_with(tools, write_config, shared_world,
                                         tmp_path, capsys):
    """Other pixel statistics are refused, but for the two remedies that the
    message names; start weights are not asked for."""
    run, config = tmp_path / 'run', write_config()
    tools.train(config, '--work-dir', run)
    checkpoint = run / 'epoch_1.pth'
    settings = settings_of(shared_world)
    towers(None, settings, pretrained='gone/clip.pt')
    other = write_config('other', model=settings['model'])
    assert tools.test(other, checkpoint, '--work-dir', run) == tools.test(
        config, checkpoint, '--work-dir', run)
    refused(capsys, 'test', other, 'none', '--work-dir', run,
            names='gone/clip.pt')
    settings['model']['data_preprocessor'] = dict(
        settings['model']['data_preprocessor'], mean=[122.77, 116.75, 104.09])
    args = write_config('pixels', model=settings['model']), checkpoint, (
        '--work-dir'), run
    said = refused(capsys, 'test', *args, names=[
        checkpoint, '123.675', '122.77', 'model.data_preprocessor.mean=...'])
    override = said.partition('--cfg-options custom_hooks')[2].split()[0]
    for option in (f'custom_hooks{override}',
                   'model.data_preprocessor.mean=[123.675,116.28,103.53]'):
        assert tools.code_of_test(*args, '--cfg-options', option) == 0
