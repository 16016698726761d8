# ViFi-CLIP: CLIP fine-tuned on videos (paper section 3.2), Kinetics-400.
arch = '{{$ARCH:ViT-B-16-quickgelu}}'  # OpenCLIP name, or a .json like its own
pretrained = '{{$PRETRAINED:openai}}'  # OpenCLIP tag or file; 'none': random
pretrained = None if pretrained == 'none' else pretrained
class_file = '{{$CLASS_FILE:k400}}'  # a file, index = label
if class_file == 'k400':
    class_file = '{{ fileDirname }}/../../../data_splits/k400/classes.txt'
num_frames = 16

model = dict(
    type='ViFiCLIP',
    backbone=dict(
        type='CLIPVisionBackbone', arch=arch, pretrained=pretrained),
    cls_head=dict(
        type='TemporalMeanPoolHead',
        in_channels=None,  # D of the architecture: CLIP needs no projection
        num_frames=num_frames,
        text_classifier=dict(
            type='CLIPTextClassifier',
            arch=arch,
            pretrained=pretrained,
            class_file=class_file,
            templates='a photo of a {}.'),
        label_smooth_eps=0.1,
        average_clips='prob'),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        # ImageNet's, as in the paper's release; CLIP's own are
        # mean 122.771, 116.746, 104.094 and std 68.501, 66.632, 70.323.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
        blending=dict(
            type='RandomBatchAugment',
            augments=[
                dict(type='MixupBlending', alpha=0.8, num_classes=400),
                dict(type='CutmixBlending', alpha=1.0, num_classes=400)
            ],
            probs=[0.5, 0.5])),
    tune='both')
