"""A checkpoint of the whole model needs no other weights."""
import copy

import pytest
from tools_world import settings_of

from projects.vifi_clip_tools.predict import command as predict


def _with_absent_pretrained(root):
    model = copy.deepcopy(settings_of(root)['model'])
    model['backbone']['pretrained'] = 'gone/clip.pt'
    model['cls_head']['text_classifier']['pretrained'] = 'gone/clip.pt'
    return model


def test_start_weights_are_not_asked_for(tools, write_config, shared_world,
                                         tmp_path):
    tools.train(write_config(), '--work-dir', tmp_path / 'run')
    checkpoint = tmp_path / 'run/epoch_1.pth'
    config = write_config('other', model=_with_absent_pretrained(shared_world))
    expected = tools.test(write_config(), checkpoint, '--work-dir',
                          tmp_path / 'a')
    assert tools.test(config, checkpoint, '--work-dir',
                      tmp_path / 'b') == expected
    with pytest.raises(FileNotFoundError, match='gone/clip.pt'):
        tools.test(config, 'none', '--work-dir', tmp_path / 'c')


def test_model_that_saves_a_part_still_loads_the_rest(write_config,
                                                      shared_world):
    model = dict(_with_absent_pretrained(shared_world),
                 save_trainable_only=True)
    config = write_config(model=model)
    video = str(shared_world / 'videos/val_0.mp4')
    with pytest.raises(FileNotFoundError, match='gone/clip.pt'):
        predict.main([video, '--config', config, '--checkpoint', 'some.pth',
                      '--device', 'cpu'])
