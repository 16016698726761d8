# METHOD=a6: as a5.py. Their README and code do not say what differs in A6;
# here it has the two temporal layers that are their code's default, and A5 the
# one layer of their released command.
_base_ = ['./a5.py']

model = dict(cls_head=dict(temporal=dict(depth=2)))
# With two layers the small world's rate is lower (benchmarks/mini_rates.py).
recipe = dict(mini=dict(optim_wrapper=dict(optimizer=dict(lr=1e-3))))
