# STRATEGY=deepspeed_zero2: gradients and optimizer state sharded, by
# DeepSpeed (pip install deepspeed; GPUs only). apis/strategy.py moves the
# accumulation, precision and gradient clipping of optim_wrapper in here.
runner_type = 'SpreadRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    zero_optimization=dict(
        stage=2,
        overlap_comm=True,
        contiguous_gradients=True,
        reduce_scatter=True))
