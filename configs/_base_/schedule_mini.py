# The small world's: one epoch up, then a cosine to lr / 100, in float32 (two
# CPU cores). An entry adds lr and the epochs.
_base_ = ['./schedule.py']

optim_wrapper = dict(dtype='float32')
warmup_epochs = 1
warmup = dict(start_factor=0.01, end=warmup_epochs)
cosine = dict(begin=warmup_epochs)
auto_scale_lr = dict(base_batch_size=16)  # 1 process x batch 16
