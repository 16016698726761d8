"""``vifi-clip train`` and ``test``."""
