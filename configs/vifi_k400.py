# ViFi-CLIP fully supervised on Kinetics-400 (paper Table 4: 83.9 top-1,
# 96.3 top-5 with ViT-B/16, 16 frames, 4 x 3 views).
#
#   tools/dist_train.sh configs/vifi_k400.py 8
#   python tools/test.py configs/vifi_k400.py CHECKPOINT          # 4x3 views
#   python tools/test.py configs/vifi_k400.py CHECKPOINT --single-view
#   METHOD=actionclip tools/dist_train.sh configs/vifi_k400.py 8
#   TUNE=image tools/dist_train.sh configs/vifi_k400.py 8         # image-FT
#
# Knobs (environment): SEED, and those of its _base_ files; docs/settings.md.
_base_ = [
    './_base_/runtime.py', './_base_/schedule.py',
    './_base_/datasets/k400.py', './_base_/pipelines/frames16.py']

both = _base_.tune == 'both'
# 8 GPUs x batch 4 x accumulation 16 = 512 at 22e-6; image- and text-FT:
# 8 x 4 x 8 = 256 at 8e-6
_recipe = dict(
    epochs=30, batch_size=4, optim_wrapper=dict(
        accumulative_counts=16 if both else 8,
        optimizer=dict(lr=22e-6 if both else 8e-6)))
_recipe.update(_base_.pop('recipe', {}).get('full', {}))

model = dict(cls_head=dict(
    num_frames=_base_.num_frames,
    text_classifier=dict(class_file=_base_.label_file)))
train_dataloader = dict(
    batch_size=_recipe['batch_size'],
    dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = dict(
    batch_size=1,  # 12 views of 16 frames are 192 images
    dataset=dict(pipeline=_base_.views_pipeline))

# what MMAction2's inference_recognizer samples
test_pipeline = _base_.views_pipeline

epochs = _recipe['epochs']
train_cfg = dict(max_epochs=epochs, val_interval=1)
optim_wrapper = _recipe['optim_wrapper']
custom_hooks = [*_base_.custom_hooks, *_recipe.get('hooks', [])]
param_scheduler = dict(
    _base_.warmup_cosine, **_recipe.get('schedule', {}), end=epochs)
auto_scale_lr = dict(base_batch_size=8 * _recipe['batch_size'])
randomness = dict(seed=int('{{$SEED:0}}'))
del both, _recipe
