"""Two FSDP2 processes train as one process does, and swap checkpoints."""
import re

import pytest
import torch
from commands import vifi
from mmengine.registry import STRATEGIES
from open_clip.tokenizer import SimpleTokenizer
from tiny import NAMES, VARIANTS, build_model
from tools_world import NUM_FRAMES, REPO, ended, stop_workers
from torch import nn

from projects.vifi_clip.checkpoints.files import TOKEN_TABLE
from projects.vifi_clip.engine.fsdp2 import UntilModeChange

FSDP = ['--cfg-options', 'train_dataloader.batch_size=2',
        'runner_type=SpreadRunner', 'strategy.type=FSDP2Strategy']


def _forget_a_word(source, target) -> str:
    """Write a checkpoint without the embedding of the first class's word."""
    content = torch.load(source)
    content['state_dict'][TOKEN_TABLE][SimpleTokenizer().encode(NAMES[0])] = 0
    torch.save(content, target)
    return str(target)


@pytest.fixture
def config(write_config, tmp_path):
    """Three epochs of two steps, by SGD with momentum, from weights that lack
    a word."""
    torch.manual_seed(0)
    start = tmp_path / 'start.pth'
    model = build_model(num_frames=NUM_FRAMES)
    torch.save(dict(state_dict=model.state_dict()), start)
    return write_config(
        load_from=_forget_a_word(start, start),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=3),
        default_hooks=dict(checkpoint=dict(max_keep_ckpts=3)),
        optim_wrapper=dict(
            type='AutocastOptimWrapper', dtype='float32',
            clip_grad=dict(max_norm=5.0),
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9)))


def _log(folder) -> str:
    path, = folder.glob('*/*.log')
    return path.read_text()


def _accuracies(folder) -> list:
    """Of the second and third epoch."""
    return re.findall(r'Epoch\(val\) *\[[23]\].*acc/top1: ([\d.]+)',
                      _log(folder))


@pytest.mark.slow
def test_two_shards_train_as_one_process(config, tmp_path):
    """Each goes on from a checkpoint of the other, and fills a row for the
    word that it lacks alike."""
    one, two, again = (tmp_path / name for name in ('one', 'two', 'again'))
    assert vifi('train', config, '--work-dir', one) == 0
    ended('bash', REPO / 'tools/dist_train.sh', config, 2, '--resume',
          _forget_a_word(one / 'epoch_1.pth', tmp_path / 'epoch_1.pth'),
          '--work-dir', two, *FSDP, cwd=tmp_path)
    assert 'FSDP2Strategy' in next(two.glob('*.py')).read_text()
    assert vifi('train', config, '--resume', two / 'epoch_2.pth',
                '--work-dir', again) == 0
    stop_workers()
    begun = torch.load(one / 'epoch_1.pth')['state_dict']
    end, *others = (torch.load(folder / 'epoch_3.pth')
                    for folder in (one, two, again))
    assert sum(not torch.allclose(begun[name], value)
               for name, value in end['state_dict'].items()) > 20
    for other in others:  # weights and momentum
        torch.testing.assert_close(other['state_dict'], end['state_dict'],
                                   rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            other['optimizer']['state'], end['optimizer']['state'],
            rtol=1e-3, atol=1e-5)
    assert len(_accuracies(one)) == 2 and _accuracies(one) == _accuracies(two)
    assert end['state_dict'][TOKEN_TABLE][
        SimpleTokenizer().encode(NAMES[0])].any(-1).all()
    for folder in one, two:
        assert 'start from random embeddings' in _log(folder)


def test_embeddings_are_kept_until_the_mode_changes():
    """Weights that trained since make others."""
    cache, params = UntilModeChange(), [nn.Parameter(torch.ones(2))]
    assert cache.get(params) is None
    cache.put(params, torch.zeros(3))
    assert len(cache.get(params)) == 3
    cache.suspect()
    assert cache.get(params) is None


def test_auxiliary_losses_are_refused():
    model = build_model(**VARIANTS['auxiliary'])
    with pytest.raises(ValueError, match='AUX.*STRATEGY=ddp'):
        STRATEGIES.get('FSDP2Strategy')()._wrap_model(model)


@pytest.mark.parametrize('dtype', ['float16', 'bf16', 16])
def test_other_dtypes_are_refused(dtype):
    strategy = STRATEGIES.get('FSDP2Strategy')
    with pytest.raises(ValueError, match='param_dtype'):
        strategy(param_dtype=dtype)
