"""Between the layouts of other projects' checkpoints and ours.

Pure functions from names and tensors to names and tensors. In between stands
one neutral layout, :class:`~.neutral.Neutral`; ``read_*`` leads there from a
file's layout and ``write_*`` from there to another.
"""
