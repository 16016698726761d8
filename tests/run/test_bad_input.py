"""What a user gives wrongly stops before training, in one message."""
import importlib.util
import re
from functools import partial
from importlib.machinery import ModuleSpec

import pytest
import torch
from commands import refused
from tiny import NAMES
from tools_world import BLENDING, PREPROCESSOR, settings_of


def lines(world, settings, file, text):
    (world / file).write_bytes(text.encode('latin-1'))


def change(part, world, settings, **changes):
    model = settings['model']
    image, text = model['backbone'], model['cls_head']['text_classifier']
    dict(model=model, image=image, text=text)[part].update(changes)


model, image, text = (partial(change, part)
                      for part in ('model', 'image', 'text'))


@pytest.mark.parametrize('damage, change, named', [
    (lines, dict(file='train.txt', text='tr\xe4n.mp4 0\n'),
     ['train.txt: not UTF-8']),
    # labels of the list would be other classes to the model
    (text, dict(class_names=NAMES[::-1]), ['train.txt', 'label 0']),
    (text, dict(class_names=NAMES[:2]), ['train.txt', 'label 2']),
    (image, dict(arch='gone.json'), ['gone.json']),
    (text, dict(prompts=dict(length=True, depth=1)), ['length']),
    (text, dict(prompts=[1, 2]), ['prompts']),
    (model, dict(tune='prompts'), ["tune='prompts'",
                                   'VLDeepPromptBackbone']),
    (model, dict(tune='all'), ["'all'", 'both']),
    (model, dict(tune='none'), ['TUNE=none']),
    (image, dict(pretrained='gone/clip.pt'), ['gone/clip.pt']),
    (image, dict(pretrained=3), ['3']),
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


@pytest.mark.parametrize('command', ['train', 'test'])
@pytest.mark.parametrize('backend, library, folder', [
    ('WandbVisBackend', 'wandb', False), ('WandbVisBackend', 'wandb', True),
    ('TensorboardVisBackend', 'tensorboard', False)])
def test_a_logger_that_is_not_installed(world, write_config, tmp_path, capsys,
                                        monkeypatch, command, backend, library,
                                        folder):
    """A folder of W&B's own may have its name."""
    (world / 'train.txt').unlink()  # the lists are not even looked for
    config = write_config(root=world)
    find, other = importlib.util.find_spec, ModuleSpec(library, None)
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *args:
        find(name, *args) if name != library else other if folder else None)
    refused(capsys, command, config, *['none'] * (command == 'test'),
            '--work-dir', tmp_path / 'run', '--cfg-options',
            f'visualizer.vis_backends.0.type={backend}',
            names=[backend, f'pip install "vifi_clip[{library}]"'])
    if command == 'train':  # and by its option
        refused(capsys, command, config, f'--{library}', '--work-dir',
                tmp_path / 'run', names=[backend, f'vifi_clip[{library}]'])
    refused(capsys, command, config, *['none'] * (command == 'test'),
            '--cfg-options', f'visualizer.vis_backends=[{backend}]',
            names=['visualizer.vis_backends', backend])
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('command, option', [
    ('train', 'optim_wrapper.optimizer.lr=x'),
    ('train', 'val_evaluator.zz=1'), ('test', 'test_dataloader.zz=1')])
def test_what_no_run_can_be_built_of(write_config, tmp_path, capsys, command,
                                     option):
    config = write_config()
    said = refused(
        capsys, command, config, *['none'] * (command == 'test'),
        '--work-dir', tmp_path / 'run', '--cfg-options', option,
        names=f'{config} cannot be used with --cfg-options {option}: ')
    assert said.count('error: ') == 1 and 'Traceback' not in said


@pytest.mark.parametrize('option', ['intervall=1', 'interval=x',
                                    'interval=True'])
def test_settings_of_the_checkpoint_hook(write_config, tmp_path, capsys,
                                         option):
    refused(capsys, 'train', write_config(), '--work-dir', tmp_path / 'run',
            '--cfg-options', f'default_hooks.checkpoint.{option}',
            names=['default_hooks.checkpoint', option.partition('=')[0]])


def test_a_fault_of_a_run_that_goes_has_its_traceback(write_config, tmp_path,
                                                      tools, monkeypatch):
    from projects.vifi_clip.models.recognizer import ViFiCLIP
    calls, step = [], ViFiCLIP.train_step

    def third(*args, **kwargs):
        calls.append(1)
        return step(*args, **kwargs) if len(calls) < 3 else 1 + 'a'

    monkeypatch.setattr(ViFiCLIP, 'train_step', third)
    with pytest.raises(TypeError):
        tools.train(write_config(), '--work-dir', tmp_path, '--no-validate',
                    '--cfg-options', 'train_dataloader.batch_size=2')


def test_a_checkpoint_is_blamed_for_what_it_holds(write_config, tmp_path,
                                                  tools, capsys):
    config, work = write_config(), tmp_path / 'run'
    tools.train(config, '--work-dir', work, '--no-validate')
    content = torch.load(work / 'epoch_1.pth', weights_only=True)
    torch.save(dict(content, optimizer={}), work / 'epoch_1.pth')
    # what names it says nothing, as after a crash: the newest is taken
    (work / 'last_checkpoint').write_bytes(b'\xff\xff')
    refused(capsys, 'train', config, '--work-dir', work, '--resume',
            names=f'{work}/epoch_1.pth cannot be used: ')


@pytest.mark.parametrize('folder', ['classes.txt', 'classes.txt/run',
                                    '/proc/run'])
def test_a_work_dir_that_cannot_be_written(world, write_config, capsys,
                                           folder):
    config = write_config()
    for command in ['train', config], ['test', config, 'none']:
        refused(capsys, *command, '--work-dir', world / folder,
                names=f'--work-dir {world / folder} cannot be written')


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


@pytest.mark.parametrize('checkpoint', ['gone.pth', 'gone.pth#ema'])
def test_a_checkpoint_that_is_missing(world, write_config, capsys, checkpoint):
    """Is said before anything else is looked for."""
    (world / 'val.txt').unlink()
    said = refused(capsys, 'test', write_config(root=world), checkpoint,
                   names=f'Checkpoint {checkpoint!r} does not exist')
    assert 'val.txt' not in said


@pytest.mark.parametrize('made', [True, False])
def test_descriptions_that_are_missing(world, write_config, capsys, made):
    """Of a small world that an older version made, or of one's own."""
    settings = settings_of(world)
    file = world / 'annotations' / 'descriptions.txt'
    text(world, settings, description_file=str(file))
    if made:
        (world / 'manifest.json').write_text('{"mini_world": "4"}')
    config = write_config(root=world, model=settings['model'])
    refused(capsys, 'train', config, names=[
        file, f'--out {world}' if made else 'DESCRIPTIONS'])
