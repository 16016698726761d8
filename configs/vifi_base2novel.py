# Base-to-novel (paper Table 2; bridge and prompt: Table 8): train on 16 shots
# of each base class, test on the base and on the novel half, each among its
# own classes; HM is their harmonic mean. Three seeds.
#
#   DATASET=hmdb51 SEED=1 tools/dist_train.sh configs/vifi_base2novel.py 8
#   DATASET=hmdb51 tools/dist_test.sh configs/vifi_base2novel.py CHECKPOINT 8
#   TUNE=prompts PRETRAINED=K400_CHECKPOINT DATASET=hmdb51 SEED=1 \
#       tools/dist_train.sh configs/vifi_base2novel.py 8  # bridge and prompt
#
# Knobs (environment): those of its _base_ files; docs/settings.md.
_base_ = [
    './_base_/runtime.py', './_base_/schedule.py',
    './_base_/datasets/few_videos.py', './_base_/pipelines/frames32.py']

prompting = _base_.tune == 'prompts'
# 8 GPUs x batch 4 x accumulation 2 = 64
_recipe = dict(
    epochs=11, batch_size=4, optim_wrapper=dict(
        accumulative_counts=2, optimizer=dict(lr=4e-2 if prompting else 2e-6)))
_recipe.update(_base_.pop('recipe', {}).get('base2novel', {}))

base_classes = f'{_base_.list_dir}/base_{_base_.classes}'
_prompts = dict(prompts=dict(length=16, depth=9)) if prompting else dict()
model = dict(backbone=_prompts, cls_head=dict(
    num_frames=_base_.num_frames,
    text_classifier=dict(class_file=base_classes, **_prompts)))

_drawn = f'base_train_{_base_.shots}shot_seed{_base_.seed}.txt'
train_dataloader = dict(batch_size=_recipe['batch_size'], dataset=dict(
    ann_file=f'{_base_.list_dir}/{_drawn}', class_file=base_classes,
    data_prefix=_base_.data_prefix, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(
    data_prefix=_base_.data_prefix, pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
_halves = dict(harmonic_mean=('base', 'novel'), sets=[
    dict(name=_half, ann_file=f'{_base_.list_dir}/{_half}_val.txt',
         class_file=f'{_base_.list_dir}/{_half}_{_base_.classes}')
    for _half in ('base', 'novel')])
val_cfg = dict(_delete_=True, type='MultiSetValLoop', **_halves)
test_cfg = dict(_delete_=True, type='MultiSetTestLoop', **_halves)
del _prompts, _halves, _drawn

# what MMAction2's inference_recognizer samples
test_pipeline = _base_.val_pipeline

epochs = _recipe['epochs']
# Validated at the end alone: nothing is selected by the novel classes.
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(checkpoint=dict(save_best=None))
optim_wrapper = _recipe['optim_wrapper']
custom_hooks = [*_base_.custom_hooks, *_recipe.get('hooks', [])]
param_scheduler = dict(
    _base_.warmup_cosine, **_recipe.get('schedule', {}), end=epochs)
auto_scale_lr = dict(base_batch_size=8 * _recipe['batch_size'])
randomness = dict(seed=int(_base_.seed))
del _recipe
