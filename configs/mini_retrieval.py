# Text-video retrieval on the small world (vifi-clip mini-world), for
# two CPU cores.
#
#   python tools/train.py configs/mini_retrieval.py
#   python tools/test.py configs/mini_retrieval.py CHECKPOINT
#   python tools/test.py configs/mini_retrieval.py none         # frozen CLIP
#
# Knobs (environment): SEED, and those of its _base_ files; docs/settings.md.
_base_ = [
    './_base_/runtime.py', './_base_/schedule_mini.py',
    './_base_/models/mini.py', './_base_/datasets/mini.py']

if '{{$METHOD:vifi}}' != 'vifi':
    raise ValueError('METHOD={{$METHOD:vifi}} does not go with retrieval: '
                     'unset it')
if '{{$AUX:none}}' != 'none':
    raise ValueError('AUX={{$AUX:none}} does not go with retrieval: '
                     'unset it')
if '{{$TRANSFORMS:worker}}' != 'worker':
    raise ValueError('TRANSFORMS={{$TRANSFORMS:worker}} does not go with '
                     'retrieval: unset it')

if _base_.tune in ('prompts', 'lora'):
    raise ValueError(f'TUNE={_base_.tune} does not go with retrieval; choose '
                     'both, image, text or none')
epochs = 6

model = dict(
    type='ViFiCLIPRetriever',
    cls_head=dict(
        num_frames=8,
        text_classifier=dict(
            _delete_=True,  # captions have no classes and no template
            type='CLIPTextClassifier', arch=_base_.arch,
            pretrained=_base_.pretrained),
        loss_cls=dict(type='CLIPContrastiveLoss')),
    data_preprocessor=dict(
        _delete_=True,
        type='MultiModalDataPreprocessor',
        preprocessors=dict(
            imgs=dict(
                type='ActionDataPreprocessor', format_shape='NCHW',
                mean=[127.5, 127.5, 127.5], std=[64., 64., 64.]),
            text=dict(type='ActionDataPreprocessor', to_float32=False))))

_pack = [
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', arch=_base_.arch),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))]
train_pipeline = [
    _base_.val_pipeline[0],  # the reader
    # One random frame in each of 8 equal segments.
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    dict(type='VideoDecode'),
    dict(type='RandomCrop', size=60),
    *_pack]
val_pipeline = [
    _base_.val_pipeline[0],  # the reader
    dict(type='SparseSampleViews', num_frames=8, num_views=1),
    dict(type='VideoDecode'),
    dict(type='CenterCrop', crop_size=60),
    *_pack]
_dataset = dict(_delete_=True, type='CheckedVideoTextDataset',
                data_prefix=_base_.data_prefix)
train_dataloader = dict(
    batch_size=32,
    dataset=dict(**_dataset, ann_file=_base_.lists + 'retrieval_train.json',
                 pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    dataset=dict(**_dataset, ann_file=_base_.lists + 'retrieval_test.json',
                 pipeline=val_pipeline, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='RetrievalMetric')
test_evaluator = val_evaluator
test_pipeline = val_pipeline  # in place of the data set's 4x3 views

train_cfg = dict(max_epochs=epochs, val_interval=3)
# 1 process x batch 32 = 32
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = dict(**_base_.warmup_cosine, end=epochs)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(
    checkpoint=dict(interval=3, save_best='retrieval/R1', rule='greater'))
randomness = dict(seed=int('{{$SEED:0}}'))
