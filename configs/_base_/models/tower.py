# The CLIP that training starts from: its name, its pixels, its sentences.
# Knobs: ARCH (OpenCLIP name, or a .json like its own; small_world: a toy whose
# weights need no download), PRETRAINED (OpenCLIP tag or file; none: random),
# PIXELS (imagenet, clip: mean and standard deviation of the pixels). `clip` is
# what ARCH was pretrained with, as OpenCLIP records it: 0.5 and 0.5 for SigLIP
# and PE-Core, for example.
# Pictures have the size that ARCH was made for, which no knob changes.
_base_ = []  # without it, MMEngine takes the import below for lazy configs

arch = '{{$ARCH:ViT-B-16-quickgelu}}'
pixels = '{{$PIXELS:default}}'
if pixels not in ('imagenet', 'clip', 'default'):
    raise ValueError(
        f"PIXELS={pixels}: choose one of ('imagenet', 'clip')")

clip_pixels = dict(  # of OpenAI's CLIP, and of most others
    mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
default_tag = 'openai'
of_clip = True
image_size = 224
if arch != 'ViT-B-16-quickgelu':
    from projects.vifi_clip.architectures import get_arch_cfg
    image_size = get_arch_cfg(arch)['vision_cfg'].get('image_size', 224)
    if not isinstance(image_size, int):
        raise ValueError(f'ARCH={arch} takes pictures of {image_size} pixels; '
                         'these pipelines make square ones')
if arch == 'small_world':  # as mini.py has it
    default_tag, of_clip = 'vifi-clip://small_world', False
    clip_pixels = dict(mean=[127.5] * 3, std=[64.] * 3)
elif arch != 'ViT-B-16-quickgelu' and not arch.endswith('.json'):
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model
    _tags = list_pretrained_tags_by_model(arch)
    if _tags and default_tag not in _tags:
        default_tag = _tags[0]
    _tag = '{{$PRETRAINED:default}}'
    _own = get_pretrained_cfg(arch, _tag if _tag in _tags else default_tag)
    # OpenCLIP's are of pixels from 0 to 1.
    _own = {_key: [round(255 * _value, 3) for _value in _own[_key]]
            for _key in clip_pixels if _key in _own}
    of_clip = _own in ({}, clip_pixels)
    clip_pixels.update(_own)
    del _tags, _tag, _own
# The paper's release normalises with ImageNet's statistics: its checkpoints
# must be tested that way. Towers that have others than CLIP keep their own.
if pixels == 'imagenet' or pixels == 'default' and of_clip:
    pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
else:
    pixels = dict(clip_pixels)
