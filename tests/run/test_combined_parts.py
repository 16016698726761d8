"""The additions together: sentences about classes and the mean of epochs with
each of the others, in runs that go on exactly and weights that merge."""
import pytest
import torch
from commands import vifi
from mmengine.config import Config
from tiny import NAMES, build_model, classifier_cfg, model_cfg, tiny_arch
from toy_runner import RUNTIME
from tools_world import BLENDING, NUM_FRAMES, PREPROCESSOR

TACO = dict(type='AnchorRelationLoss',
            teacher=dict(type='EMATeacher', momentum=0.1))
NEIGHBOURS = dict(type='NeighbourBackbone', num_frames=None)
PRODUCT = dict(templates='product', random_template='shared',
               always_templates=['{description}'])
# Each a part's settings: of texts, of the model, and its hooks.
PARTS = dict(
    taco=(dict(templates='sentences', average='raw',
               random_template='shared'), dict(auxiliary=[TACO]), []),
    froster=(PRODUCT, dict(auxiliary=[dict(
        type='FeatureDistillationLoss', teacher=dict(
            type='CLIPTeacher', arch=tiny_arch()))], backbone=NEIGHBOURS), []),
    open_vclip=(PRODUCT, dict(tune='image', logit_scale=True,
                              backbone=NEIGHBOURS),
                [dict(type='InterpolatedGradientHook')]))


@pytest.fixture(params=PARTS)
def files(request, write_config, tmp_path):
    """A config of two epochs of two steps of two micro-batches, and the CLIP
    that it starts from."""
    texts, model, hooks = PARTS[request.param]
    torch.manual_seed(7)
    clip = tmp_path / 'clip.pth'
    torch.save(build_model().state_dict(), clip)
    described = tmp_path / 'described.txt'
    described.write_text(''.join(
        f'{name}: a person does {name} here.\n' for name in NAMES))
    cfg = model_cfg(
        num_frames=NUM_FRAMES, head=dict(
            label_smooth_eps=0.1, text_classifier=classifier_cfg(
                **texts, description_file=str(described))),
        data_preprocessor=dict(PREPROCESSOR, blending=BLENDING))
    cfg.update(model, backbone=dict(cfg['backbone'], **model.get(
        'backbone', {})))
    for loss in cfg.get('auxiliary', []):
        if loss['teacher']['type'] == 'CLIPTeacher':
            loss['teacher']['pretrained'] = str(clip)
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part['pretrained'] = str(clip)
    runtime = [dict(hook) for hook in Config.fromfile(RUNTIME).custom_hooks]
    return write_config(
        model=cfg, custom_hooks=[
            *runtime, dict(type='EpochMeanHook', begin_epoch=1), *hooks],
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2),
        default_hooks=dict(checkpoint=dict(max_keep_ckpts=2,
                                           save_best=None)),
        optim_wrapper=dict(accumulative_counts=2, optimizer=dict(
            type='AdamW', lr=1e-3))), clip


def test_they_train_go_on_and_merge(files, tmp_path, tools):
    config, clip = files

    def train(name, *options) -> dict:
        assert vifi('train', config, '--work-dir', tmp_path / name,
                    '--no-validate', *options, '--cfg-options',
                    'train_dataloader.batch_size=2') == 0
        return torch.load(tmp_path / name / 'epoch_2.pth', weights_only=True)

    whole = train('whole')
    part = train('part', '--resume', tmp_path / 'whole/epoch_1.pth')
    for key in ('state_dict', 'ema_state_dict', 'optimizer',
                'auxiliary_state_dict', 'teacher_state_dict'):
        assert (key in part) == (key in whole)
        torch.testing.assert_close(part.get(key), whole.get(key), rtol=0,
                                   atol=0)
    assert vifi('merge', clip, tmp_path / 'whole/epoch_2.pth', '--alpha',
                '0.7', '--out', tmp_path / 'merged.pth') == 0
    merged = torch.load(tmp_path / 'merged.pth', weights_only=True)
    start, end = torch.load(clip), whole['state_dict']
    assert merged['state_dict'].keys() == end.keys() == start.keys()
    moved = 0
    for name, value in merged['state_dict'].items():
        torch.testing.assert_close(value, 0.3 * start[name] + 0.7 * end[name])
        moved += not torch.equal(start[name], end[name])
    assert moved > 20
    metrics = tools.test(config, tmp_path / 'merged.pth', '--work-dir',
                         tmp_path)
    assert 0 <= metrics['acc/top1'] <= 1
