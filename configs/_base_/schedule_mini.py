# The small world's: one epoch of warm-up, in float32 (two CPU cores). An entry
# adds lr and the epochs.
_base_ = ['./schedule.py']

optim_wrapper = dict(dtype='float32')
warmup_cosine = dict(warmup=1)
auto_scale_lr = dict(base_batch_size=16)  # 1 process x batch 16
