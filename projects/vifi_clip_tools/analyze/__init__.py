"""``vifi-clip analyze``."""
