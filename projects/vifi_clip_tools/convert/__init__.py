"""``vifi-clip convert``: checkpoints of one project for another."""
