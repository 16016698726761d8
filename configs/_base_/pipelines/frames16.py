# The same with 16 frames a view.
# Knobs: those of frames32.py.
_base_ = ['./frames32.py']

num_frames = '{{$NUM_FRAMES:default}}'
num_frames = _base_.get('recipe', {}).get('num_frames', 16) if (
    num_frames == 'default') else int(num_frames)
# How each kind of sampling names its number of frames.
_name = dict(SampleFrames='num_clips', SparseSampleViews='num_frames')
train_pipeline, val_pipeline, views_pipeline = [[
    dict(step, **{_name[step.type]: num_frames}) if step.type in
    _name else step for step in pipeline
] for pipeline in (_base_.train_pipeline, _base_.val_pipeline,
                   _base_.views_pipeline)]
del _name
