# Train the text side of the config ENTRY on frame embeddings that were made
# before by a frozen image tower, without augmentation and without decoding a
# video. Tests still read videos.
#
#   TUNE=text vifi-clip cache-frames configs/vifi_k400.py none \
#       --out data/frame_cache
#   TUNE=text python tools/train.py configs/vifi_cached.py
#   python tools/test.py configs/vifi_k400.py CHECKPOINT          # videos
#
# Knobs (environment): ENTRY (one of those below), CACHE (folder of vifi-clip
# cache-frames), TUNE (text, or prompts: on the text side alone), and those of
# the entry, such as SEED.
entry = '{{$ENTRY:vifi_k400}}'
_base_ = ['./{{$ENTRY:vifi_k400}}.py']
_entries = ('vifi_k400', 'vifi_zero_shot', 'vifi_few_shot', 'vifi_base2novel',
            'vifi_mini')
if entry not in _entries:
    raise ValueError(f'ENTRY={entry}: choose one of {_entries}')
del _entries
if '{{$TRANSFORMS:worker}}' != 'worker':
    raise ValueError('TRANSFORMS={{$TRANSFORMS:worker}}: embeddings that are '
                     'kept need no transforms; leave it out')
if 'num_frames' in _base_.model.backbone:
    raise ValueError('METHOD={{$METHOD:vifi}}: its frames see each other, so '
                     'that no embeddings of single frames can be kept; train '
                     f'{entry} on the videos')

custom_imports = dict(imports=[
    'projects.vifi_clip', 'projects.vifi_clip.models.frame_embeddings'])
cache = '{{$CACHE:data/frame_cache}}'

model = dict(
    backbone=dict(_delete_=True, type='FrameEmbeddings', arch=_base_.arch,
                  pretrained=_base_.pretrained, cache=cache),
    data_preprocessor=dict(type='FrameEmbeddingPreprocessor', cache=cache,
                           blending=None))

# A row of a mapped file needs no process of its own to be read.
workers = 0
train_dataloader = dict(
    num_workers=workers, persistent_workers=False,
    dataset=dict(type='CachedVideoDataset', cache=cache,
                 source_pipeline=_base_.val_pipeline,
                 pipeline=[dict(type='PackActionInputs')]))
val_dataloader = train_dataloader
