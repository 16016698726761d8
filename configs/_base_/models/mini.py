# A CLIP small enough for two CPU cores: 60 x 60 pixels, 25 patches. CLIP's
# own vocabulary and tokenizer, so that any class name works.
arch = dict(
    embed_dim=96,
    quick_gelu=False,
    vision_cfg=dict(
        image_size=60, patch_size=12, width=96, head_width=32, layers=3),
    text_cfg=dict(
        context_length=32, vocab_size=49408, width=96, heads=3, layers=2))
pretrained = '{{$MINI_CLIP:work_dirs/mini_clip/mini_clip.pth}}'
pretrained = None if pretrained == 'none' else pretrained
num_frames = 8
class_file = '{{$DATA_ROOT:data/mini}}/annotations/classes.txt'

model = dict(
    type='ViFiCLIP',
    backbone=dict(
        type='CLIPVisionBackbone', arch=arch, pretrained=pretrained),
    cls_head=dict(
        type='TemporalMeanPoolHead',
        in_channels=None,
        num_frames=num_frames,
        text_classifier=dict(
            type='CLIPTextClassifier',
            arch=arch,
            pretrained=pretrained,
            class_file=class_file,
            templates='a photo of {}.'),
        average_clips='prob'),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[64., 64., 64.],
        format_shape='NCHW'),
    tune='both')
