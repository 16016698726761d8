"""``vifi-clip check-data``: what is wrong with a data set."""
