"""Training logs to TensorBoard and Weights & Biases, beside its log file."""
import pytest
from commands import vifi
from mmengine.config import Config

from projects.vifi_clip.apis.loggers import add_loggers

LOCAL = dict(type='LocalVisBackend')


def _one(folder, pattern):
    found = list(folder.rglob(pattern))
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize('visualizer, before', [
    (None, [LOCAL]), (dict(type='ActionVisualizer'), []),
    (dict(type='ActionVisualizer', vis_backends=[LOCAL]), [LOCAL]),
    (dict(type='ActionVisualizer', vis_backends=LOCAL), [LOCAL])])
def test_what_is_added(monkeypatch, tmp_path, visualizer, before):
    monkeypatch.delenv('WANDB_PROJECT', raising=False)
    monkeypatch.setenv('WANDB_NAME', 'mine')
    cfg = Config(dict(work_dir=str(tmp_path / 'kitchen'),
                      **dict(visualizer=visualizer) if visualizer else {}))
    kept = cfg.to_dict()
    add_loggers(cfg)
    assert cfg.to_dict() == kept
    add_loggers(cfg, tensorboard=True, wandb=True)
    assert cfg.visualizer.vis_backends == before + [
        dict(type='TensorboardVisBackend'),
        dict(type='MetricsWandbVisBackend',
             init_kwargs=dict(project='vifi_clip', name='mine'))]
    monkeypatch.delenv('WANDB_NAME')
    add_loggers(cfg, wandb=True)
    assert cfg.visualizer.vis_backends[-1].init_kwargs.name == 'kitchen'


def test_tensorboard(write_config, tmp_path, monkeypatch):
    events = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator')
    monkeypatch.setenv('LOCAL_RANK', '0')
    assert vifi('train', write_config(), '--work-dir', tmp_path / 'run',
                '--tensorboard') == 0
    file = _one(tmp_path / 'run', 'events.out.tfevents.*')
    read = events.EventAccumulator(str(file)).Reload()
    assert {'loss', 'lr', 'acc/top1'} <= set(read.Tags()['scalars'])
    # the model is tested elsewhere without it
    kept = Config.fromfile(_one(tmp_path / 'run/model', '*.py'))
    assert kept.visualizer.vis_backends == [LOCAL]


def test_wandb_offline(write_config, tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    (tmp_path / 'secret.py').write_text('code of the user')
    monkeypatch.chdir(tmp_path)
    assert vifi('train', write_config(), '--work-dir', tmp_path / 'run',
                '--wandb') == 0
    logged = _one(tmp_path / 'run', 'offline-run-*/*.wandb').read_bytes()
    assert b'acc/top1' in logged and b'optim_wrapper' in logged
    assert b'secret.py' not in logged  # MMEngine's backend takes all code
