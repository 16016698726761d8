# STRATEGY=deepspeed_zero3: the weights too are sharded (see
# deepspeed_zero2.py).
runner_type = 'SpreadRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    zero_optimization=dict(
        stage=3,
        overlap_comm=True,
        contiguous_gradients=True,
        stage3_gather_16bit_weights_on_model_save=True))
