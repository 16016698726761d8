"""What a user gives wrongly stops before training, in one message."""
import re
from functools import partial

import pytest
import torch
from commands import refused
from tiny import NAMES
from tools_world import BLENDING, PREPROCESSOR, settings_of


def lines(world, settings, file, text):
    (world / file).write_bytes(text.encode('latin-1'))


def line_3(world, settings, text):
    rows = (world / 'train.txt').read_text().splitlines()
    lines(world, settings, 'train.txt', '\n'.join([*rows[:2], text]))


def away(world, settings, name):
    (world / name).rename(world / 'gone')


def file(world, settings, value):
    """Start weights of the image tower."""
    torch.save(value, world / 'start.pt')
    image(world, settings, pretrained=str(world / 'start.pt'))


def change(part, world, settings, **changes):
    model = settings['model']
    image, text = model['backbone'], model['cls_head']['text_classifier']
    dict(model=model, image=image, text=text)[part].update(changes)


model, image, text = (partial(change, part)
                      for part in ('model', 'image', 'text'))


def long_class(world, settings):
    lines(world, settings, 'classes.txt', f'a\nb\nc\n{"word " * 30}\n')
    text(world, settings, class_names=None, class_file=f'{world}/classes.txt')


@pytest.mark.parametrize('damage, change, named', [
    (line_3, dict(text='train_2.mp4 4'), ['train.txt:3', 'label 4']),
    (lines, dict(file='train.txt', text='tr\xe4n.mp4 0\n'),
     ['train.txt: not UTF-8']),
    (lines, dict(file='classes.txt', text='a\nb\nc\nb\n'),
     ['classes.txt', "'b'", 'line 2', 'line 4']),
    (away, dict(name='videos'), ['videos', 'data_prefix']),
    (away, dict(name='train.txt'), ['train.txt', 'ann_file']),
    # labels of the list would be other classes to the model
    (text, dict(class_names=NAMES[::-1]), ['train.txt', 'label 0']),
    (text, dict(class_names=NAMES[:2]), ['train.txt', 'label 2']),
    (text, dict(class_names=[*NAMES, 'one more']), ['train.txt', 'label 4']),
    (text, dict(class_names='zumba'), ['class names']),
    (long_class, {}, ['word word', '24']),
    (image, dict(arch='gone.json'), ['gone.json']),
    (text, dict(prompts=dict(length=True, depth=1)), ['length']),
    (text, dict(prompts=[1, 2]), ['prompts']),
    (model, dict(tune='prompts'), ["tune='prompts'",
                                   'VLDeepPromptBackbone']),
    (model, dict(tune='all'), ["'all'", 'both']),
    (model, dict(tune='none'), ['TUNE=none']),
    (image, dict(pretrained='gone/clip.pt'), ['gone/clip.pt']),
    (image, dict(pretrained=3), ['3']),
    (file, dict(value=torch.zeros(3)), ['start.pt']),
    (file, dict(value={1: torch.zeros(3)}), ['start.pt']),
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


@pytest.mark.slow
def test_settings_that_show_in_the_first_batch(world, write_config, tmp_path,
                                               capsys):
    """Blending for another number of classes; a test list without labels."""
    blending = dict(BLENDING, augments=[dict(BLENDING['augments'][0],
                                             num_classes=9)], probs=[1.])
    settings = settings_of(world)
    model(world, settings, data_preprocessor=dict(PREPROCESSOR,
                                                  blending=blending))
    folder = '--work-dir', tmp_path / 'run'
    refused(capsys, 'train', write_config(model=settings['model']), *folder,
            names=['blending', '9'])
    lines(world, settings, 'val.txt', 'val_0.mp4\n')
    refused(capsys, 'test', write_config(
        root=world, test_dataloader=settings['test_dataloader']), 'none',
        *folder, names='val_0.mp4')
