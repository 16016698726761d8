# STRATEGY=fsdp: weights, gradients and optimizer state sharded over the
# processes (FSDP2). Same steps and same checkpoints as ddp.
#   STRATEGY=fsdp tools/dist_train.sh configs/vifi_k400.py 8
#   ... --cfg-options strategy.param_dtype=bfloat16   # half the traffic
#   ... --cfg-options strategy.reshard_after_forward=False   # ZeRO-2's memory
runner_type = 'SpreadRunner'
strategy = dict(type='FSDP2Strategy')
