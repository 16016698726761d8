# The same with 16 frames a view.
# Knob: NUM_FRAMES.
_base_ = ['./frames32.py']

num_frames = int('{{$NUM_FRAMES:16}}')
# How each kind of sampling names its number of frames.
_name = dict(SampleFrames='num_clips', SparseSampleViews='num_frames')
train_pipeline, val_pipeline, views_pipeline = [[
    dict(step, **{_name[step.type]: num_frames}) if step.type in
    _name else step for step in pipeline
] for pipeline in (_base_.train_pipeline, _base_.val_pipeline,
                   _base_.views_pipeline)]
del _name
