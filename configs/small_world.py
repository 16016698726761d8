# The small world's CLIP, fine-tuned on its videos and bundled with the
# package, for trying predict, demo, search and export at once, without a
# download or training. It knows coloured shapes and how they move, at 60 x 60
# pixels, but nothing of real videos. `configs/vifi_mini.py` trains one.
#
#   vifi-clip demo --config small_world
#   vifi-clip predict my.mp4 --config small_world --labels "a red ring, a star"
_base_ = [
    './_base_/runtime.py', './_base_/models/mini.py',
    './_base_/pipelines/mini.py']

if '{{$METHOD:vifi}}' != 'vifi':
    raise ValueError('METHOD={{$METHOD:vifi}} does not go with small_world, '
                     'whose weights are ViFi-CLIP\'s: unset it')

load_from = '{{$LOAD_FROM:vifi-clip://small_world}}'
model = dict(
    backbone=dict(pretrained=None),
    cls_head=dict(
        num_frames=8,
        text_classifier=dict(
            pretrained=None,
            class_names=[f'{_thing} {_motion}' for _thing, _motions in (
                    ('a red ring', ('bouncing', 'sliding', 'spinning')),
                    ('a blue star', ('pulsing', 'blinking', 'orbiting')),
                    ('a green heart', ('bouncing', 'spinning', 'blinking')),
                    ('a yellow arrow', ('sliding', 'pulsing', 'orbiting')),
                    ('a purple moon', ('bouncing', 'sliding', 'blinking')),
                    ('an orange cross', ('spinning', 'pulsing', 'orbiting')),
                    ('a red star', ('bouncing', 'pulsing', 'orbiting')),
                    ('a blue ring', ('sliding', 'spinning', 'blinking')))
                for _motion in _motions])))
