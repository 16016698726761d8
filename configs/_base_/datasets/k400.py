# Kinetics-400, or your own data instead.
# Knobs: LIST_DIR (holds TRAIN_LIST and VAL_LIST), VIDEO_DIR, CLASS_FILE.
_base_ = ['./videos.py']

list_dir = '{{$LIST_DIR:default}}'
if list_dir == 'default':
    list_dir = _base_.list_root + '/k400'
video_dir = '{{$VIDEO_DIR:default}}'
if video_dir == 'default':
    video_dir = _base_.data_root + '/k400/videos'
if _base_.packed != 'none':
    video_dir = _base_.packed
label_file = '{{$CLASS_FILE:default}}'  # a file, index = label
if label_file == 'default':
    label_file = list_dir + '/classes.txt'

_own = dict(class_file=label_file, data_prefix=dict(video=video_dir))
train_dataloader = dict(
    dataset=dict(**_own, ann_file=list_dir + '/{{$TRAIN_LIST:train.txt}}'))
val_dataloader = dict(
    dataset=dict(**_own, ann_file=list_dir + '/{{$VAL_LIST:val.txt}}'))
test_dataloader = val_dataloader
del _own
