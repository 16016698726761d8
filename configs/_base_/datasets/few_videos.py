# The data sets of the base-to-novel and few-shot settings.
# Knobs: DATASET (hmdb51, ucf101, ssv2, k400, or the name of your own), SHOTS,
# SEED (of the draw, and of the run), CLASS_TEXT (release: UCF-101's names as
# in the paper's release, 'BandMarching'; words: 'Band Marching'), LIST_DIR,
# VIDEO_DIR.
_base_ = ['./videos.py']

dataset = '{{$DATASET:hmdb51}}'
list_dir = '{{$LIST_DIR:default}}'
if list_dir == 'default':
    list_dir = f'{_base_.list_root}/{dataset}'
video_dir = '{{$VIDEO_DIR:default}}'
if video_dir == 'default':
    video_dir = f'{_base_.data_root}/{dataset}/videos'
if _base_.packed != 'none':
    video_dir = _base_.packed
_known = ('hmdb51', 'ucf101', 'ssv2', 'k400')
if dataset not in _known and '{{$LIST_DIR:default}}' == 'default' and (
        '{{$LIST_ROOT:default}}' == 'default'):
    raise ValueError(f'DATASET={dataset}: choose one of {_known}, or say '
                     'where the lists of your own data set are: LIST_DIR=...')

class_text = '{{$CLASS_TEXT:release}}'
if class_text not in ('release', 'words'):
    raise ValueError(f'CLASS_TEXT={class_text}: choose release or words')
# what class lists' names end with
classes = 'classes_words.txt' if (dataset, class_text) == (
    'ucf101', 'words') else 'classes.txt'

shots, seed = '{{$SHOTS:16}}', '{{$SEED:1}}'
for _name, _value in dict(SHOTS=shots, SEED=seed).items():
    if not _value.isdecimal() or int(_value) < 1:
        raise ValueError(f'{_name}={_value}: give a whole number from 1')
del _name, _value, _known
# Three official splits; the paper uses the first here.
val_list = 'val_split1.txt' if dataset in ('hmdb51', 'ucf101') else 'val.txt'
data_prefix = dict(video=video_dir)
