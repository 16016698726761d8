# ViFi-CLIP's head on MMAction2's TSN: a ResNet-50 that was trained without
# text learns to match CLIP's text tower. 8 frames a view.
#
#   tools/dist_train.sh configs/mix/tsn_r50_vifi_head_k400.py 8
#   python tools/test.py configs/mix/tsn_r50_vifi_head_k400.py CHECKPOINT
_base_ = [
    'mmaction::recognition/tsn/'
    'tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb.py',
    '../_base_/models/vifi_head.py']

model = dict(
    cls_head=dict(
        _delete_=True, **_base_.pop('vifi_head'), in_channels=2048,
        num_frames=8))  # num_clips of the base's training and validation

# The rate is meant for weights: at its full size, the logarithm of the scale
# falls from 4.6 to about 1 in the first steps, and takes hundreds to return.
optim_wrapper = dict(paramwise_cfg=dict(
    custom_keys=dict(logit_scale=dict(lr_mult=0.1, decay_mult=0.))))

# The base's 25 frames in 10 crops are no views of 8 frames; 3 such views in
# 10 crops are as many frames.
test_pipeline = [
    dict(type='VideoReader', backend='{{$READER:pyav}}'),
    dict(type='SparseSampleViews', num_frames=8, num_views=3),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='TenCrop', crop_size=224),
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
