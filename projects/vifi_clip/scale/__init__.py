"""What a step costs on paper: operations, memory, traffic, time."""
