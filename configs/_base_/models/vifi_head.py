# ViFi-CLIP's head for backbones without text: the entries of configs/mix.
# An entry removes vifi_head, which is a part and not a setting, and adds
# in_channels (a projection to CLIP's embedding is learnt) and num_frames.
# Knobs: TEXT_ARCH (OpenCLIP name), PRETRAINED (OpenCLIP tag or file of the
# text weights: by default those of OpenAI's CLIP ViT-B/16; 'none': random).
custom_imports = dict(imports=['projects.vifi_clip'])

text_arch = '{{$TEXT_ARCH:ViT-B-16-quickgelu}}'
pretrained = '{{$PRETRAINED:openai}}'
pretrained = None if pretrained == 'none' else pretrained

vifi_head = dict(
    type='TemporalMeanPoolHead',
    text_classifier=dict(
        type='CLIPTextClassifier',
        arch=text_arch,
        pretrained=pretrained,
        class_file='{{ fileDirname }}/../../../data_splits/k400/classes.txt',
        templates='a photo of a {}.',
        # The backbone and its random projection know no text: early gradients
        # would spoil the text tower long before they say anything, and with
        # it the room for unseen classes. Frozen, it is a fixed target,
        # encoded once.
        frozen=True),
    average_clips='prob')
