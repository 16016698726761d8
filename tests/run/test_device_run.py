"""Training and testing with TRANSFORMS=device."""
import pickle

import pytest
import torch
from tools_world import BLENDING, PIPELINES, PREPROCESSOR, settings_of

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.datasets.deferred import on_device


@pytest.mark.slow
def test_transforms_on_the_device(tools, write_config, shared_world,
                                  tmp_path):
    """Trained in one go or resumed, with any number of workers, bit by bit;
    weights and scores are near those of a worker's transforms. A model that
    predicts does so as ever."""
    steps = {part: [dict(step, type='VideoDecode') if step['type'] ==
                    'DecordDecode' else step for step in pipeline]
             for part, pipeline in PIPELINES.items()}
    for pipeline in steps.values():
        pipeline.insert(-2, dict(type='RepeatFrames'))
    steps['train'][-2:-2] = [
        dict(type='FrameColorJitter', brightness=.4, hue=.1),
        dict(type='RandomGreyClip', p=.5)]

    def write(name, change, kind, workers) -> str:
        settings = settings_of(shared_world)
        for part in 'train', 'val', 'test':
            settings[f'{part}_dataloader']['dataset']['pipeline'] = change(
                steps[part])
        settings['val_pipeline'] = change(steps['val'])
        settings['train_dataloader'].update(
            num_workers=workers, persistent_workers=workers > 0)
        settings['model']['data_preprocessor'] = dict(
            PREPROCESSOR, type=kind, blending=BLENDING)
        return write_config(name, **settings)

    def train(config, run, epochs, *options) -> dict:
        tools.train(config, '--work-dir', tmp_path / run, *options,
                    '--cfg-options', f'train_cfg.max_epochs={epochs}')
        return torch.load(tmp_path / run / f'epoch_{epochs}.pth')

    config = write('device', on_device, 'DeviceTransforms', 2)
    alone = train(write('alone', on_device, 'DeviceTransforms', 0), 'a', 2)
    train(config, 'b', 1)
    resumed = train(config, 'b', 2, '--resume')
    for part in 'state_dict', 'optimizer':
        torch.testing.assert_close(alone[part], resumed[part], rtol=0, atol=0)
    worker = write('worker', list, 'ActionDataPreprocessor', 0)
    near = train(worker, 'c', 2)
    before = torch.load(tmp_path / 'b' / 'epoch_1.pth')

    def distance(ours, theirs) -> float:
        return float(sum((value - theirs['state_dict'][name]).abs().sum()
                         for name, value in ours['state_dict'].items()))

    assert 0 < distance(alone, near) < .1 * distance(alone, before)
    scores = []
    for name, source in ('d', config), ('e', worker):
        dump = tmp_path / f'{name}.pkl'
        tools.test(source, tmp_path / 'b' / 'epoch_2.pth', '--dump', dump,
                   '--work-dir', tmp_path / name)
        samples = pickle.loads(dump.read_bytes())
        assert all('deferred' not in sample for sample in samples)
        scores.append(torch.stack([s['pred_score'] for s in samples]))
    torch.testing.assert_close(*scores, rtol=.02, atol=2e-3)
    video = str(shared_world / 'videos' / 'val_0.mp4')
    found = [list(ViFiCLIPInferencer(
        source, tmp_path / 'b' / 'epoch_2.pth', device='cpu'
    ).predict([video], num_views=(2, 3))) for source in (config, worker)]
    assert found[0] == found[1]
