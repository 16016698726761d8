"""The paper's tables as runs: what to train and test, and what it gave."""
