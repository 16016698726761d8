"""``vifi-clip merge``: interpolate and average weights."""
