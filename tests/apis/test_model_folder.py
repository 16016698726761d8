"""The folder that a training leaves works anywhere, without what made it."""
import json
import shutil
import sys

import pytest
import torch
from commands import refused, vifi
from huggingface_hub import ModelCard
from safetensors import safe_open
from tiny import NAMES, tiny_arch
from tools_world import settings_of

from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.model_card import model_card
from projects.vifi_clip.errors import UserError
from vifi_clip import ViFiCLIP


@pytest.fixture(scope='module')
def trained(shared_world, tmp_path_factory):
    """A run that read its classes, its descriptions, its architecture and its
    lists from files, and kept decoded frames; the config, its checkpoint, its
    model's folder."""
    made = tmp_path_factory.mktemp('run')
    (made / 'classes.txt').write_text('\n'.join(NAMES))
    (made / 'about.txt').write_text(''.join(
        f'{name}: people in a {name}\n' for name in NAMES))
    (made / 'arch.json').write_text(json.dumps(tiny_arch()))
    settings = settings_of(shared_world)
    settings['model']['backbone'].update(arch=str(made / 'arch.json'))
    text = settings['model']['cls_head']['text_classifier']
    text.pop('class_names', None)
    text.update(
        arch=str(made / 'arch.json'), class_file=str(made / 'classes.txt'),
        description_file=[str(made / 'about.txt')],
        templates='{} {description}')
    test = settings['test_dataloader']['dataset']
    test['pipeline'] = [dict(type='KeptVideoReader', folder=str(
        made / 'frames')), *test['pipeline'][1:]]
    settings['custom_imports'] = dict(
        imports=['projects.vifi_clip', 'module_of_a_user'])
    (made / 'module_of_a_user.py').write_text('HERE = __file__\n')
    (made / 'work/model').mkdir(parents=True)
    (made / 'work/model/notes.txt').write_text('mine')
    config = made / 'config.py'
    config.write_text(''.join(f'{k} = {v!r}\n' for k, v in settings.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LOCAL_RANK', '0')
        assert vifi('train', config, '--work-dir', made / 'work') == 0
    folder = tmp_path_factory.mktemp('elsewhere') / 'model'
    shutil.copytree(made / 'work/model', folder)
    return config, made / 'work' / 'epoch_1.pth', folder


@pytest.fixture
def moved(trained, monkeypatch, tmp_path):
    """All but the folder is out of reach."""
    _, checkpoint, folder = trained
    hidden = checkpoint.parents[1].with_name('hidden')
    checkpoint.parents[1].rename(hidden)
    monkeypatch.chdir(tmp_path)
    yield folder
    hidden.rename(checkpoint.parents[1])


def test_the_same_model_from_anywhere(trained, moved, shared_world, tmp_path,
                                      capsys):
    config, checkpoint, _ = trained
    videos = sorted(shared_world.glob('videos/val_*.mp4'))
    here = list(ViFiCLIPInferencer(str(moved)).predict(videos))
    hidden = checkpoint.parents[1].with_name('hidden')
    state = torch.load(hidden / 'work/epoch_1.pth')['state_dict']
    with safe_open(moved / 'model.safetensors', 'pt') as file:
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(k), v)
                   for k, v in state.items())
    assert (moved / 'classes.txt').read_text().split('\n')[:-1] == NAMES
    assert (moved / 'notes.txt').read_text() == 'mine'
    sys.modules.pop('module_of_a_user')
    text = (moved / 'config.py').read_text()
    assert str(hidden.parent) not in text and str(shared_world) not in text
    # the command, a test of another list, and the inferencer agree
    assert vifi('predict', *videos, '--config', moved, '--out', 'p.csv') == 0
    listed = tmp_path / 'list.txt'
    listed.write_text(''.join(f'{v.name} 1\n' for v in videos))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TEST_LIST', str(listed))
        patch.setenv('VIDEO_DIR', str(videos[0].parent))
        capsys.readouterr()
        assert vifi('test', moved, '--predictions', 'q.csv') == 0
        assert 'does not say' not in capsys.readouterr().out
    predicted = [line.split(',')[1]
                 for line in (tmp_path / 'p.csv').read_text().splitlines()[1:]]
    assert predicted == [result['label'] for result in here]
    assert [line.rpartition(',')[2] for line in
            (tmp_path / 'q.csv').read_text().splitlines()[1:]] == predicted
    refused(capsys, 'test', moved, names='TEST_LIST')
    assert sys.modules['module_of_a_user'].HERE == str(
        moved / 'module_of_a_user.py')


def test_folders_that_are_none(trained, tmp_path, capsys):
    """The folder of a run stands for that of its model."""
    work = trained[1].parent
    assert ViFiCLIPInferencer(str(work)).class_names == NAMES
    shutil.copytree(work / 'model', tmp_path / "it's")
    refused(capsys, 'test', tmp_path / "it's", names="it's")
    refused(capsys, 'test', tmp_path, names=str(tmp_path))
    (tmp_path / "it's" / 'model.safetensors').unlink()
    refused(capsys, 'test', tmp_path / "it's", names='model.safetensors')


def test_the_card(trained, shared_world, tmp_path):
    """What the Hub reads, with the Hub's own classes."""
    data = ModelCard.load(trained[2] / 'README.md').data
    assert (data.pipeline_tag, data.library_name, data.license) == (
        'video-classification', 'vifi_clip', 'unknown')
    results = {item.metric_name: item for item in data.eval_results}
    result = results['top-1 accuracy']
    assert (result.dataset_name, result.dataset_split) == (
        shared_world.name, 'val')
    assert result.metric_type == 'accuracy' and data.metrics == ['accuracy']
    log = next(trained[1].parent.glob('*/vis_data/scalars.json'))
    logged = [json.loads(line)['acc/top1'] for line in
              log.read_text().splitlines() if 'acc/top1' in line]
    assert result.metric_value == round(logged[-1], 4)
    assert results['mean class accuracy'].metric_type == 'accuracy'
    assert data.to_dict()['model-index'][0]['results']
    assert 'module_of_a_user.py' in (trained[2] / 'README.md').read_text()
    # a card that somebody completed stays with the model
    folder = shutil.copytree(trained[2], tmp_path / 'model')
    (folder / 'README.md').write_text('mine')
    ViFiCLIP.from_pretrained(folder).save_pretrained(tmp_path / 'copy')
    assert (tmp_path / 'copy/README.md').read_text() == 'mine'


def test_weights_that_the_hub_knows():
    cfg = read_config('vifi_few_shot')
    card = ModelCard(model_card(cfg, 'epoch_50', 51, {}))
    assert card.data.base_model == 'timm/vit_base_patch16_clip_224.openai'
    assert card.data.eval_results is None
    cfg.model.backbone.pretrained = '/home/me/ViT.pt'
    card = model_card(cfg, 'epoch_50', 51, {'acc/top1': .5, 'acc/top5': .75})
    assert '/home' not in card and ModelCard(card).data.base_model is None
    assert {(r.dataset_name, r.metric_name): r.metric_value
            for r in ModelCard(card).data.eval_results} == {
        ('hmdb51', 'top-1 accuracy'): .5, ('hmdb51', 'top-5 accuracy'): .75}


def test_it_equals_the_checkpoint(trained, shared_world):
    config, checkpoint, folder = trained
    video = next(shared_world.glob('videos/val_*.mp4'))
    scores = [next(ViFiCLIPInferencer(*model).predict(video))['scores']
              for model in ((str(config), str(checkpoint)), (str(folder), ))]
    assert scores[0] == scores[1]


def test_settings_are_compared(trained, shared_world, tmp_path, capsys):
    """They travel in the file of the weights."""
    config, _, folder = trained
    video = next(shared_world.glob('videos/val_*.mp4'))
    refused(capsys, 'predict', video, '--config', config, '--checkpoint',
            folder / 'model.safetensors', '--cfg-options',
            'model.data_preprocessor.mean=[1,2,3]', names='pixel_mean')


def test_the_hub(trained, monkeypatch, capsys, shared_world):
    """hf:// is a folder that huggingface_hub fetches."""
    import huggingface_hub

    def fetch(name):
        assert name == 'someone/model'
        return str(trained[2])

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', fetch)
    trusting = ViFiCLIPInferencer('hf://someone/model', trust=True)
    assert trusting.class_names == NAMES
    with pytest.raises(UserError, match='custom_imports.*--trust'):
        ViFiCLIP.from_pretrained('someone/model')
    monkeypatch.undo()
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    video = next(shared_world.glob('videos/val_*.mp4'))
    refused(capsys, 'predict', video, '--config', 'hf://someone/else',
            names='hf://someone/else')
