# STRATEGY=ddp (default): every process holds the whole model, MMEngine's
# Runner. Nothing to set.
