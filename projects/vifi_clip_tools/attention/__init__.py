"""``vifi-clip attention``: where a model looks."""
