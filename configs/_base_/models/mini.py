# A CLIP small enough for two CPU cores: 60 x 60 pixels, 25 patches. It has
# CLIP's own vocabulary and tokenizer, so that any class name works.
# Knobs: METHOD, AUX, and those of vifi_clip.py except ARCH; MINI_CLIP, the
# small world's "pretrained CLIP" (a checkpoint of mini_clip.py), used instead
# of OpenAI's.
_base_ = ['../additions/{{$AUX:none}}.py']

arch = 'small_world'
pretrained = '{{$PRETRAINED:default}}'
if pretrained == 'default':
    pretrained = '{{$MINI_CLIP:work_dirs/mini_clip/mini_clip.pth}}'
pretrained = None if pretrained == 'none' else pretrained

model = dict(
    backbone=dict(arch=arch, pretrained=pretrained),
    cls_head=dict(
        text_classifier=dict(arch=arch, pretrained=pretrained),
        label_smooth_eps=0.),
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[64., 64., 64.],
                           blending=None))
if _base_.tune == 'prompts':  # in every layer: 3 of images, 2 of text
    model['backbone'].update(prompts=dict(length=4, depth=3))
    model['cls_head']['text_classifier'].update(
        prompts=dict(length=4, depth=2))
elif 'prompts' in _base_.model.cls_head.text_classifier:  # of METHOD
    model['cls_head']['text_classifier'].update(
        prompts=dict(before=4, behind=4)  # of 32
        if 'before' in _base_.model.cls_head.text_classifier.prompts else
        dict(length=3, init='a photo of'))  # class names bring their article
elif _base_.template == 'photo' and not _base_.descriptions:
    # class names bring their article
    model['cls_head']['text_classifier'].update(templates='a photo of {}.')

if _base_.model.backbone.type == 'ContextBackbone':
    # 3% of 8 x 25 patches, as 96 of 16 x 196
    model['backbone'].update(length=6)

if 'auxiliary' in _base_.model:  # of AUX, from another CLIP
    _teachers = dict(
        CLIPTeacher=dict(arch=arch, pretrained=pretrained),
        # 48 steps x 8 epochs x 1e-2 = 3.8; on Kinetics-400 TACO has
        # 1,250 x 15 x 2e-4 = 3.8
        EMATeacher=dict(momentum=1e-2))
    model['auxiliary'] = [
        dict(loss, teacher={**loss['teacher'],
                            **_teachers[loss['teacher']['type']]})
        for loss in _base_.model.auxiliary]
    del _teachers
