# The small world's "pretrained CLIP": a small CLIP trained on captioned still
# frames with the contrastive loss. vifi-clip quickstart runs it once.
#
#   python tools/train.py configs/mini_clip.py
_base_ = [
    './_base_/runtime.py', './_base_/schedule_mini.py',
    './_base_/models/mini.py', './_base_/datasets/mini.py']

if '{{$METHOD:vifi}}' != 'vifi':
    raise ValueError('METHOD={{$METHOD:vifi}} does not go with mini_clip, '
                     'which every method starts from: unset it')
if '{{$AUX:none}}' != 'none':
    raise ValueError('AUX={{$AUX:none}} does not go with mini_clip: '
                     'unset it')

epochs = 10
captions = _base_.lists + 'captions.txt'

model = dict(
    backbone=dict(pretrained=None),
    cls_head=dict(
        num_frames=1,
        text_classifier=dict(
            pretrained=None, class_file=captions, templates='{}'),
        loss_cls=dict(type='CLIPContrastiveLoss')),
    # From scratch, words have to be learnt as well.
    train_token_embedding=True)

still_pipeline = [
    dict(type='ImageDecode'),
    dict(type='RandomCrop', size=60),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')]
train_dataloader = dict(
    batch_size=64,
    # Small pictures: handing 128 tensors a batch from a worker to this
    # process takes longer (0.31 s a step) than reading them here (0.21 s).
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file=_base_.lists + 'stills.txt', class_file=captions,
                 data_prefix=dict(video=_base_.data_root),  # not PACKED
                 pipeline=still_pipeline))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None

train_cfg = dict(max_epochs=epochs)
# 1 process x batch 64 = 64
optim_wrapper = dict(optimizer=dict(lr=1e-3, eps=1e-6, weight_decay=0.1))
param_scheduler = dict(**_base_.warmup_cosine, end=epochs)
default_hooks = dict(checkpoint=dict(save_best=None, interval=epochs))
