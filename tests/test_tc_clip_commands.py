"""The commands with prompts that look at the video."""
import pytest
import torch
from commands import vifi
from open_clip import CLIP
from tiny import tiny_arch
from tiny_methods import method_cfg, method_settings

from projects.vifi_clip.checkpoints.files import load_checkpoint

ARCH = tiny_arch(text_cfg=dict(layers=3))


@pytest.fixture
def config(write_config):
    model = method_cfg('tc_clip', CONTEXT_PROMPTS='on')
    recipe = method_settings('tc_clip', CONTEXT_PROMPTS='on').recipe.mini
    for part in model['backbone'], model['cls_head']['text_classifier']:
        part['arch'] = ARCH
    return write_config(model=model, optim_wrapper=dict(
        recipe.optim_wrapper.to_dict(), type='AutocastOptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-3)))


def test_training_goes_on_and_is_merged(tools, config, tmp_path):
    """Bit by bit; what CLIP lacks stays fine-tuned in a merge."""
    epochs = ['--cfg-options', 'train_cfg.max_epochs=2',
              'default_hooks.checkpoint.max_keep_ckpts=-1']
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    tools.train(config, '--work-dir', whole, *epochs)
    tools.train(config, '--work-dir', part, '--resume',
                whole / 'epoch_1.pth', *epochs)
    tuned, resumed = (torch.load(path / 'epoch_2.pth', weights_only=False)
                      for path in (whole, part))
    for key in 'state_dict', 'optimizer':
        torch.testing.assert_close(resumed[key], tuned[key], rtol=0, atol=0)
    clip, merged = tmp_path / 'clip.pt', tmp_path / 'merged.pth'
    torch.save(CLIP(**ARCH).state_dict(), clip)
    assert vifi('merge', clip, whole / 'epoch_2.pth', '--alpha', '0.5',
                '--out', merged) == 0
    state, tuned = load_checkpoint(str(merged))['state_dict'], tuned[
        'state_dict']
    for key, value in tuned.items():
        own = '.visual.' not in key and '.text.' not in key and (
            'logit_scale' not in key)
        assert own == key.startswith((
            'backbone.context_bias', 'cls_head.text_classifier.prompt'))
        assert torch.equal(state[key], value) or not own, key
    tools.test(config, merged, '--work-dir', tmp_path / 'test')
