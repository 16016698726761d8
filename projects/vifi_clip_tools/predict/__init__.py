"""``vifi-clip predict``: labels of videos."""
