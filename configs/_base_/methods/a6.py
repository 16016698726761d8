# METHOD=a6: as a5.py. What A6 has otherwise, their README and code do not say;
# here it has the two temporal layers that are their code's default, and A5 the
# one layer of their released command.
_base_ = ['./a5.py']

model = dict(cls_head=dict(temporal=dict(depth=2)))
