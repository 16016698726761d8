# Few-shot (paper Table 3; bridge and prompt: Table 7; fusions: Table 5):
# train on K videos of each class, test on the first validation split (HMDB-51,
# UCF-101) or the whole validation set (SSv2). One view.
#
#   DATASET=ucf101 SHOTS=4 tools/dist_train.sh configs/vifi_few_shot.py 8
#   DATASET=ucf101 tools/dist_test.sh configs/vifi_few_shot.py CHECKPOINT 8
#   DATASET=ucf101 SHOTS=4 TUNE=prompts PRETRAINED=K400_CHECKPOINT \
#       tools/dist_train.sh configs/vifi_few_shot.py 8    # bridge and prompt
#
# Knobs (environment): those of its _base_ files; docs/settings.md.
_base_ = [
    './_base_/runtime.py', './_base_/schedule.py',
    './_base_/datasets/few_videos.py', './_base_/pipelines/frames32.py']

# 8 GPUs x batch 4 x accumulation 2 = 64
_recipe = dict(
    epochs=50, batch_size=4, optim_wrapper=dict(
        accumulative_counts=2,
        optimizer=dict(lr=8e-3 if _base_.tune == 'prompts' else 2e-6)))
_recipe.update(_base_.pop('recipe', {}).get('few_shot', {}))

_own = dict(class_file=f'{_base_.list_dir}/{_base_.classes}',
            data_prefix=_base_.data_prefix)
model = dict(cls_head=dict(
    num_frames=_base_.num_frames,
    text_classifier=dict(class_file=_own['class_file'])))
_drawn = f'few_shot_train_{_base_.shots}shot_seed{_base_.seed}.txt'
train_dataloader = dict(
    batch_size=_recipe['batch_size'],
    dataset=dict(**_own, ann_file=f'{_base_.list_dir}/{_drawn}',
                 pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(**_own, ann_file=f'{_base_.list_dir}/{_base_.val_list}',
                 pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
del _own, _drawn

# what MMAction2's inference_recognizer samples
test_pipeline = _base_.val_pipeline

epochs = _recipe['epochs']
# Validated at the end alone: nothing is selected by the test videos.
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(checkpoint=dict(save_best=None, interval=10))
optim_wrapper = _recipe['optim_wrapper']
custom_hooks = [*_base_.custom_hooks, *_recipe.get('hooks', [])]
param_scheduler = dict(
    _base_.warmup_cosine, **_recipe.get('schedule', {}), end=epochs)
auto_scale_lr = dict(base_batch_size=8 * _recipe['batch_size'])
randomness = dict(seed=int(_base_.seed))
del _recipe
