# CLIP frozen, with adapters in its image tower: METHOD=aim, st_adapter.
_base_ = ['vifi_clip.py']

if '{{$TUNE:both}}' != 'both':
    raise ValueError('TUNE={{$TUNE:both}} does not go with '
                     'METHOD={{$METHOD:aim}}, which trains adapters alone: '
                     'unset it')
if '{{$FUSION:embedding}}' == 'image':
    raise ValueError('FUSION=image trains on single frames, and those of '
                     'METHOD={{$METHOD:aim}} see each other: set embedding or '
                     'decision')

model = dict(
    tune='adapters',
    # frozen: each class is encoded once, all of its sentences
    cls_head=dict(label_smooth_eps=0.,
                  text_classifier=dict(random_template=False)),
    data_preprocessor=dict(blending=None))
if '{{$PIXELS:clip}}' == 'clip':
    model['data_preprocessor'].update(_base_.clip_pixels)
