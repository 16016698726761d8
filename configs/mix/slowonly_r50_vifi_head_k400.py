# ViFi-CLIP's head on MMAction2's SlowOnly, a 3D ResNet-50: the time steps of
# its features are used as frames. 8 frames a view, 10 x 3 views.
#
#   tools/dist_train.sh configs/mix/slowonly_r50_vifi_head_k400.py 8
#   python tools/test.py configs/mix/slowonly_r50_vifi_head_k400.py CHECKPOINT
_base_ = [
    'mmaction::recognition/slowonly/slowonly_imagenet-pretrained-r50_'
    '8xb16-8x8x1-steplr-150e_kinetics400-rgb.py',
    '../_base_/models/vifi_head.py']

model = dict(
    cls_head=dict(
        _delete_=True, **_base_.pop('vifi_head'), in_channels=2048,
        num_frames=8))  # for the record: 3D features bring their own

# See tsn_r50_vifi_head_k400.py.
optim_wrapper = dict(paramwise_cfg=dict(
    custom_keys=dict(logit_scale=dict(lr_mult=0.1, decay_mult=0.))))
