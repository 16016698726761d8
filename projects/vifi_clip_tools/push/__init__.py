"""``vifi-clip push``."""
