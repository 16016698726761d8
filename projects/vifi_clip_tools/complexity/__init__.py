"""``vifi-clip complexity``: operations, parameters, speed and memory."""
