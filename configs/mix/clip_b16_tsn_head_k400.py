# CLIP's image tower under MMAction2's own TSNHead: a linear classifier on the
# mean of the frames, without any text. 8 frames in training, 25 x 10 crops in
# test, as the base has it.
#
#   tools/dist_train.sh configs/mix/clip_b16_tsn_head_k400.py 8
#   python tools/test.py configs/mix/clip_b16_tsn_head_k400.py CHECKPOINT
#
# Do not give --amp: MMAction2's heads turn their scores into numpy arrays,
# which have no bfloat16.
#
# Knob (environment): PRETRAINED (OpenCLIP tag or file of the image weights: by
# default those of OpenAI's CLIP ViT-B/16; 'none': random).
_base_ = ('mmaction::recognition/tsn/'
          'tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb.py')
custom_imports = dict(imports=['projects.vifi_clip'])

pretrained = '{{$PRETRAINED:openai}}'
pretrained = None if pretrained == 'none' else pretrained

model = dict(
    backbone=dict(_delete_=True, type='CLIPVisionBackbone',
                  arch='ViT-B-16-quickgelu', pretrained=pretrained),
    cls_head=dict(
        in_channels=512,  # D of the architecture
        spatial_type=None))  # embeddings [N, D] have nothing left to pool

# The base's SGD is for ResNets. The tower's rate is that of vifi_k400.py; the
# classifier starts from nothing and takes larger steps.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=22e-6,
                   weight_decay=0.001),
    paramwise_cfg=dict(custom_keys=dict(cls_head=dict(lr_mult=10))))
