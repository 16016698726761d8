# ViFi-CLIP on the small world (vifi-clip mini-world), for two CPU
# cores: every protocol of the paper in miniature. `bash tools/quickstart.sh`
# runs the first one, `vifi-clip matrix --mini` all of them.
#
#   python tools/train.py configs/vifi_mini.py
#   tools/dist_train.sh configs/vifi_mini.py 2
#   python tools/test.py configs/vifi_mini.py CHECKPOINT   # `full`: 4x3 views
#   python tools/test.py configs/vifi_mini.py none                # frozen CLIP
#   PROTOCOL=few_shot SHOTS=4 SEED=1 python tools/train.py \
#       configs/vifi_mini.py
#
# Knobs (environment): PROTOCOL, one of
#   full       24 classes, 32 clips each: the miniature's Kinetics-400
#   zero_shot  trained like `full`, tested on classes that it has not seen
#   base2novel base half of 24 other classes, SHOTS clips each; both halves
#   few_shot   those 24 classes, SHOTS clips each;
# SHOTS, SEED (of the draw, 1 to 3, and of the run), and those of its _base_
# files. DESCRIPTIONS=mini are the small world's own. To learn prompts, set
# PRETRAINED to a checkpoint of `full`; docs/settings.md.
_base_ = [
    './_base_/runtime.py', './_base_/schedule_mini.py',
    './_base_/models/mini.py', './_base_/datasets/mini.py']

protocol = '{{$PROTOCOL:full}}'
shots, seed = '{{$SHOTS:16}}', '{{$SEED:0}}'
# training list, its classes, epochs, learning rate of fine-tuning, which is
# that of benchmarks/mini_rates.py
_full = ('train', 'classes', 8, 3e-4)
_protocols = dict(
    full=_full,
    zero_shot=_full,
    base2novel=(f'base_train_{shots}shot_seed{seed}', 'base_classes', 12,
                3e-4),
    few_shot=(f'few_shot_train_{shots}shot_seed{seed}', 'target_classes', 12,
              3e-4))
if protocol not in _protocols:
    raise ValueError(f'PROTOCOL={protocol}: choose one of {tuple(_protocols)}')
for _name, _value in dict(SHOTS=shots, SEED=seed).items():
    if not _value.isdecimal():
        raise ValueError(f'{_name}={_value}: give a whole number')
_train_list, _classes, epochs, _lr = _protocols[protocol]
if _base_.tune == 'prompts':
    _lr = 1e-2
# Frames, views, batch and epochs are the same for each METHOD.
_recipe = _base_.pop('recipe', {}).get('mini', {})
label_file = f'{_base_.lists}{_classes}.txt'

model = dict(cls_head=dict(
    num_frames=8, text_classifier=dict(class_file=label_file)))
if _base_.descriptions == ['mini']:
    model['cls_head']['text_classifier'].update(
        description_file=_base_.lists + 'descriptions.txt')
train_dataloader = dict(dataset=dict(
    ann_file=f'{_base_.lists}{_train_list}.txt', class_file=label_file))
val_dataloader = dict(dataset=dict(class_file=label_file))
test_dataloader = dict(dataset=dict(class_file=label_file))
if protocol != 'full':  # which alone is tested with 4x3 views, as in the paper
    test_dataloader['dataset'].update(pipeline=_base_.val_pipeline)
    test_dataloader.update(batch_size=16)

if protocol == 'few_shot':
    for _part in val_dataloader, test_dataloader:
        _part['dataset'].update(ann_file=_base_.lists + 'target_val.txt')
    del _part
elif protocol != 'full':
    _names = ('base', 'novel') if protocol == 'base2novel' else (
        'target', 'zero_shot')
    _sets = dict(sets=[
        dict(name=_set, ann_file=_base_.lists + f'{_set}_val.txt',
             class_file=_base_.lists + f'{_set}_classes.txt')
        for _set in _names])
    if protocol == 'base2novel':
        _sets.update(harmonic_mean=_names)
        val_cfg = dict(_delete_=True, type='MultiSetValLoop', **_sets)
    test_cfg = dict(_delete_=True, type='MultiSetTestLoop', **_sets)
    del _names, _sets

_interval = 4 if protocol == 'full' else epochs
train_cfg = dict(max_epochs=epochs, val_interval=_interval)
# 1 process x batch 16 x accumulation 1 = 16
optim_wrapper = _recipe.get('optim_wrapper', dict(optimizer=dict(lr=_lr)))
custom_hooks = [*_base_.custom_hooks, *_recipe.get('hooks', [])]
param_scheduler = dict(
    _base_.warmup_cosine, **_recipe.get('schedule', {}), end=epochs)
default_hooks = dict(checkpoint=dict(interval=_interval, save_best=None))
randomness = dict(seed=int(seed))
del _full, _protocols, _name, _value, _train_list, _classes, _lr
del _interval, _recipe
