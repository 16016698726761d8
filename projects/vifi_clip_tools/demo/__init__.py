"""``vifi-clip demo``: a web page to try a model."""
