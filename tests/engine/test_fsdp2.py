"""Two FSDP2 processes train as one process does, and swap checkpoints."""
import re

import pytest
import torch
from commands import vifi
from mmengine.registry import STRATEGIES
from tiny import NAMES, VARIANTS, build_model
from tools_world import NUM_FRAMES, REPO, ended, stop_workers
from torch import nn

from projects.vifi_clip.engine.fsdp2 import UntilModeChange

FSDP = ['--cfg-options', 'train_dataloader.batch_size=2',
        'runner_type=SpreadRunner', 'strategy.type=FSDP2Strategy']


@pytest.fixture
def config(write_config, tmp_path):
    """Three epochs of two steps, by SGD with momentum; the model to start
    from does not know the first word of a class."""
    torch.manual_seed(0)
    model = build_model(num_frames=NUM_FRAMES)
    text = model.cls_head.text_classifier
    text.text.token_embedding.weight.data[
        text.tokenizer.encode(NAMES[0])] = 0.
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'start.pth')
    return write_config(
        load_from=str(tmp_path / 'start.pth'),
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
    """Each goes on from a checkpoint of the other."""
    one, two, again = (tmp_path / name for name in ('one', 'two', 'again'))
    assert vifi('train', config, '--work-dir', one) == 0
    ended('bash', REPO / 'tools/dist_train.sh', config, 2, '--resume',
          one / 'epoch_1.pth', '--work-dir', two, *FSDP, cwd=tmp_path)
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
    for folder in one, two:  # words are asked for when weights are there
        assert f'all words of: {NAMES[0]}.' in _log(folder)


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
