# ViFi-CLIP's head on MMAction2's SlowOnly, a 3D ResNet-50: the time steps of
# its features take the place of frames. 8 frames a view, 10 x 3 views.
#
#   tools/dist_train.sh configs/mix/slowonly_r50_vifi_head_k400.py 8
#   python tools/test.py configs/mix/slowonly_r50_vifi_head_k400.py CHECKPOINT
#
# Knobs (environment): TEXT_ARCH (OpenCLIP name), PRETRAINED (OpenCLIP tag or
# file of the text weights: by default those of OpenAI's CLIP ViT-B/16; 'none':
# random).
_base_ = (
    'mmaction::recognition/slowonly/slowonly_imagenet-pretrained-r50_'
    '8xb16-8x8x1-steplr-150e_kinetics400-rgb.py')
custom_imports = dict(imports=['projects.vifi_clip'])

text_arch = '{{$TEXT_ARCH:ViT-B-16-quickgelu}}'
pretrained = '{{$PRETRAINED:openai}}'
pretrained = None if pretrained == 'none' else pretrained

model = dict(
    cls_head=dict(
        _delete_=True,
        type='TemporalMeanPoolHead',
        in_channels=2048,  # a projection to CLIP's embedding is learnt
        num_frames=8,  # for the record: 3D features bring their own
        text_classifier=dict(
            type='CLIPTextClassifier',
            arch=text_arch,
            pretrained=pretrained,
            class_file='{{ fileDirname }}/../../data_splits/k400/classes.txt',
            templates='a photo of a {}.',
            frozen=True),  # see tsn_r50_vifi_head_k400.py
        average_clips='prob'))

# See tsn_r50_vifi_head_k400.py.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(logit_scale=dict(lr_mult=0.1, decay_mult=0.))))
