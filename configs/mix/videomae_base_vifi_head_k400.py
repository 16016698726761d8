# ViFi-CLIP's head on MMAction2's VideoMAE ViT-B, which gives one embedding for
# a clip of 16 frames. 5 x 3 views.
#
#   tools/dist_train.sh configs/mix/videomae_base_vifi_head_k400.py 8 --amp
#   python tools/test.py configs/mix/videomae_base_vifi_head_k400.py CHECKPOINT
#
# Knob of its own: VIDEOMAE (file that the backbone starts from: by default
# MMAction2's, fine-tuned on Kinetics-400; 'none': random).
_base_ = [
    'mmaction::recognition/videomae/'
    'vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400.py',
    '../_base_/models/vifi_head.py']

videomae = '{{$VIDEOMAE:mmaction2}}'
videomae = videomae if videomae != 'mmaction2' else (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/videomae/'
    'vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-860a3cd3.pth')

model = dict(
    # Not the backbone's own `pretrained`, which MMAction2 1.2 loses again.
    backbone=dict() if videomae == 'none' else dict(
        init_cfg=dict(
            type='Pretrained', checkpoint=videomae, prefix='backbone.')),
    cls_head=dict(
        _delete_=True, **_base_.pop('vifi_head'), in_channels=768,
        num_frames=1))  # the backbone has pooled time already: [N, C]

# From here on, what the base, which is for testing only, leaves out.
epochs = 30
train_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SampleFrames', clip_len=16, frame_interval=4, num_clips=1),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')]
val_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SampleFrames', clip_len=16, frame_interval=4, num_clips=1,
         test_mode=True),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 224)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')]
train_dataloader, val_dataloader = (
    dict(
        batch_size=8, num_workers=8, persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=_part == 'train'),
        dataset=dict(
            type='VideoDataset',
            ann_file=f'data/kinetics400/kinetics400_{_part}_list_videos.txt',
            data_prefix=dict(video=f'data/kinetics400/videos_{_part}'),
            pipeline=_pipeline))
    for _part, _pipeline in (('train', train_pipeline),
                             ('val', val_pipeline)))
val_dataloader['dataset'].update(test_mode=True)
val_evaluator = dict(type='AccMetric')

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999),
                   weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0., bias_decay_mult=0., custom_keys=dict(
            logit_scale=dict(lr_mult=10, decay_mult=0.),
            projection=dict(lr_mult=10))))  # it starts from nothing
_by_iteration = dict(by_epoch=True, convert_to_iter_based=True)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=1, **_by_iteration),
    dict(type='CosineAnnealingLR', T_max=epochs - 1, eta_min_ratio=0.01,
         begin=1, end=epochs, **_by_iteration)]
del _by_iteration
# 8 GPUs x batch 8 (train_dataloader)
auto_scale_lr = dict(enable=False, base_batch_size=64)
