# Zero-shot (paper Table 1): train on Kinetics-400 with 32 frames, test on
# data sets that share no class with it. HMDB-51 and UCF-101: mean over the
# three official validation splits; Kinetics-600: mean over three sets of 160
# classes that are not in Kinetics-400. One view.
#
#   tools/dist_train.sh configs/vifi_zero_shot.py 8
#   tools/dist_test.sh configs/vifi_zero_shot.py CHECKPOINT 8     # all nine
#   TUNE=none python tools/test.py configs/vifi_zero_shot.py none # frozen CLIP
#   EVAL=hmdb51 SPLIT=1 python tools/test.py configs/vifi_zero_shot.py ...
#
# Knobs (environment): EVAL (all, hmdb51, ucf101, k600), SPLIT (all, 1, 2, 3),
# CLASS_TEXT (see _base_/datasets/few_videos.py), SEED, and those of its _base_
# files, which say where the training data are; docs/settings.md.
_base_ = [
    './_base_/runtime.py', './_base_/schedule.py',
    './_base_/datasets/k400.py', './_base_/pipelines/frames32.py']

# 8 GPUs x batch 4 x accumulation 8 = 256
_recipe = dict(
    epochs=10, batch_size=4, optim_wrapper=dict(
        accumulative_counts=8, optimizer=dict(lr=8e-6)))
_recipe.update(_base_.pop('recipe', {}).get('zero_shot', {}))

model = dict(cls_head=dict(
    num_frames=_base_.num_frames,
    text_classifier=dict(class_file=_base_.label_file)))
train_dataloader = dict(
    batch_size=_recipe['batch_size'],
    dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

evaluated, split = '{{$EVAL:all}}', '{{$SPLIT:all}}'
class_text = '{{$CLASS_TEXT:release}}'
for _name, _value, _allowed in (
        ('EVAL', evaluated, ('all', 'hmdb51', 'ucf101', 'k600')),
        ('SPLIT', split, ('all', '1', '2', '3')),
        ('CLASS_TEXT', class_text, ('release', 'words'))):
    if _value not in _allowed:
        raise ValueError(f'{_name}={_value}: choose one of {_allowed}')
del _name, _value, _allowed
_files = dict(  # lists of split or class set n
    hmdb51=('val_split{}.txt', 'classes.txt'),
    ucf101=('val_split{}.txt', 'classes_words.txt'
            if class_text == 'words' else 'classes.txt'),
    k600=('zero_shot_{}_val.txt', 'zero_shot_{}_classes.txt'))
test_cfg = dict(
    _delete_=True,
    type='MultiSetTestLoop',
    sets=[dict(
        name=f'{_set}_{_n}', group=_set,
        ann_file=f'{_base_.list_root}/{_set}/{_files[_set][0].format(_n)}',
        class_file=f'{_base_.list_root}/{_set}/{_files[_set][1].format(_n)}',
        data_prefix=dict(video=f'{_base_.data_root}/{_set}/videos'))
        for _set in _files for _n in (1, 2, 3)
        if evaluated in ('all', _set) and split in ('all', str(_n))])
del _files

# what MMAction2's inference_recognizer samples
test_pipeline = _base_.val_pipeline

epochs = _recipe['epochs']
train_cfg = dict(max_epochs=epochs, val_interval=1)
optim_wrapper = _recipe['optim_wrapper']
custom_hooks = [*_base_.custom_hooks, *_recipe.get('hooks', [])]
param_scheduler = dict(
    _base_.warmup_cosine, **_recipe.get('schedule', {}), end=epochs)
auto_scale_lr = dict(base_batch_size=8 * _recipe['batch_size'])
randomness = dict(seed=int('{{$SEED:0}}'))
del _recipe
